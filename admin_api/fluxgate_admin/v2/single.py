"""What operations on one object of any kind have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Header, Path
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import NotFoundError, UnprocessableError
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.etags import matches_none, quoted
from fluxgate_admin.use_cases.drafts import Outcome
from fluxgate_admin.use_cases.objects import Shown, Spec
from fluxgate_admin.use_cases.pointers import Pointers
from fluxgate_admin.v2.calls import Etags, WriteCall
from fluxgate_admin.v2.rendering import shown_sync, shown_warnings, write_answer

IfNoneMatch = Annotated[
    Etags | SkipJsonSchema[None],
    Header(
        description="304 when the object is still this version.",
        examples=['"0f3c7a1e9b2d4c55"'],
    ),
]
NOT_MODIFIED = {"description": "It is still the version of If-None-Match."}
_ID = r"^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$"
Render = Callable[[Shown], dict[str, Any]]


def id_or_name(example: str) -> Any:  # noqa: ANN401 - what FastAPI takes for a parameter
    """The part of a path that says which object is meant."""
    words = (
        "Its id; or its name, where a body that names no namespace puts objects: in the server's default "
        "namespace, or the only one of the caller's."
    )
    return Path(max_length=253, pattern=_ID, description=words, examples=[example])


def read_answer(shown: Shown, render: Render, if_none_match: str | None) -> Response:
    """One object, or 304 for who has it already."""
    etag = shown.etag
    if matches_none(if_none_match, etag):
        return Response(status_code=304, headers={"etag": quoted(etag)})
    return json_answer(render(shown), headers={"etag": quoted(etag)})


def changed_answer(
    call: WriteCall,
    outcome: Outcome,
    render: Render,
    *,
    done: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The object after a change, with what is known of that change instead of what was known before."""
    if outcome.dry_run:
        return write_answer(call, outcome, {})
    shown = call.api.objects.after_write(call.principal, outcome)
    if shown is None:
        raise NotFoundError(f"There is no {outcome.ref} any more.")
    body = render(shown)
    for name in ("sync_message", "pending_nodes", "hidden_nodes"):
        body.pop(name, None)
    body |= shown_sync(outcome.sync) | shown_warnings(outcome.report)
    return write_answer(call, outcome, body, done=done, headers=headers)


async def change(
    call: WriteCall,
    ref: ObjectRef,
    edit: Callable[[Spec], tuple[Spec, Pointers]],
    render: Render,
    labels: Callable[[Mapping[str, str]], Mapping[str, str]] = lambda before: before,
) -> Response:
    """Change the spec of an object by ``edit``, its labels by ``labels``, and show it as it then is."""

    async def perform() -> Response:
        outcome = await call.api.objects.update(call.principal, ref, edit, call.options, labels)
        return changed_answer(call, outcome, render)

    return await call.answer(perform)


async def replace(
    call: WriteCall,
    ref: ObjectRef,
    fields: Mapping[str, Any],
    make: Callable[[], tuple[Spec, Pointers]],
    render: Render,
) -> Response:
    """The whole object anew: what ``fields`` leave out is as if it had never been said.

    Raises ``UnprocessableError`` for another name: an object keeps its own.
    """
    _keep_name(fields, ref)
    return await change(call, ref, lambda _: make(), render, lambda _: fields.get("labels") or {})


def _keep_name(fields: Mapping[str, Any], ref: ObjectRef) -> None:
    for name, is_now in (("name", ref.name), ("namespace", ref.namespace)):
        if fields.get(name) not in (None, is_now):
            message = f"is {is_now!r} and stays so: make a new object, and delete this one"
            problem = {
                "pointer": f"/{name}",
                "message": message,
                "reason": "Invalid",
                "source": "schema",
            }
            raise UnprocessableError(f"/{name}: {message}", [problem], error="invalid")
