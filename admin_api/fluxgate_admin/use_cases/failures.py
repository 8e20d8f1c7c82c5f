"""What the ports raise, as refusals of the admin API."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

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
from fluxgate_admin.use_cases.pointers import Pointers, pointer_of_path


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
    error: ResourceError, document: Document, pointers: Pointers
) -> UnprocessableError:
    """The refusal of a document that is not a valid object."""
    problems = [
        {
            "pointer": pointers.translate(pointer_of_path(each.path, document)),
            "message": each.message,
            "reason": "Invalid",
            "source": "schema",
        }
        for each in error.problems
    ]
    return UnprocessableError(_said(problems) or str(error), problems, error="invalid")


def moved(error: UnprocessableError, pointers: Pointers) -> UnprocessableError:
    """A refusal whose pointers lead into the document, with pointers into the request's body."""
    problems = [
        {**each, "pointer": pointers.translate(each["pointer"])}
        for each in error.details["problems"]
    ]
    return UnprocessableError(_said(problems) or error.message, problems, error=error.error)


def _said(problems: list[dict[str, str]]) -> str:
    return "; ".join(f"{each['pointer'] or 'the body'}: {each['message']}" for each in problems[:3])
