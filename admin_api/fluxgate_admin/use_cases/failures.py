"""What the ports raise, as refusals of the admin API."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fluxgate.errors import (
    ResourceClientError,
    ResourceConflictError,
    ResourceError,
    ResourceExistsError,
    ResourceForbiddenError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports.resources import Document
from fluxgate_admin.errors import (
    AdminError,
    ConflictError,
    NotFoundError,
    NotPermittedError,
    UnavailableError,
    UnprocessableError,
)
from fluxgate_admin.principal import Principal
from fluxgate_admin.use_cases.drafts import Draft, Problem
from fluxgate_admin.use_cases.pointers import Pointers, pointer_of_path
from fluxgate_admin.use_cases.sight import redacted


@contextmanager
def refusals() -> Iterator[None]:
    """Turn errors of the resource client into refusals."""
    try:
        yield
    except ResourceClientError as error:
        raise refusal_of(error) from error


def refusal_of(error: ResourceClientError) -> AdminError:
    """The refusal that tells a caller of ``error``."""
    match error:
        case ResourceNotFoundError():
            return NotFoundError(str(error))
        case ResourceExistsError():
            return ConflictError(str(error), error="already_exists")
        case ResourceConflictError():
            return ConflictError(str(error))
        case ResourceForbiddenError():
            return NotPermittedError(str(error))
        case ResourceStoreUnavailableError(retry_after=seconds):
            headers = {"retry-after": str(max(1, math.ceil(seconds or 1)))}
            return UnavailableError(str(error), headers=headers)
        case _:
            return UnavailableError(str(error))


def invalid_document(
    error: ResourceError, document: Document, pointers: Pointers, *, source: str = "schema"
) -> UnprocessableError:
    """The refusal of a document that is not a valid object, as ``source`` found it."""
    problems = [
        {
            "pointer": pointers.translate(pointer_of_path(each.path, document)),
            "message": each.message,
            "reason": "Invalid",
            "source": source,
        }
        for each in error.problems
    ]
    return UnprocessableError(_said(problems) or str(error), problems, error="invalid")


def refused_by_store(
    principal: Principal, error: ResourceError, draft: Draft
) -> UnprocessableError:
    """The refusal of a valid object by who keeps it: the API server, or whom that asks about each write.

    Webhooks may name objects of others; those names are left out.
    """
    told = [replace(each, message=redacted(principal, each.message)) for each in error.problems]
    known = ResourceError(error.subject, tuple(told))
    return invalid_document(known, draft.document or {}, draft.pointers, source="store")


def problems_of(error: AdminError) -> list[Problem]:
    """The problems that a refusal lists."""
    return [
        Problem(
            pointer=each.get("pointer", ""),
            message=each["message"],
            reason=each.get("reason", "Invalid"),
            source=each.get("source", "schema"),
            fatal=True,
        )
        for each in error.details.get("problems", [])
    ]


def moved(error: UnprocessableError, pointers: Pointers) -> UnprocessableError:
    """A refusal whose pointers lead into the document, with pointers into the request's body."""
    problems = [
        {**each, "pointer": pointers.translate(each["pointer"])}
        for each in error.details["problems"]
    ]
    return UnprocessableError(_said(problems) or error.message, problems, error=error.error)


def _said(problems: list[dict[str, str]]) -> str:
    return "; ".join(f"{each['pointer'] or 'the body'}: {each['message']}" for each in problems[:3])
