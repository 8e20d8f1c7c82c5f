"""``/v2/history``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate.api.v1alpha1.base import ObjectName
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.authentication import everything
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.ids import public_id
from fluxgate_admin.use_cases.changelog import Side, diff_of
from fluxgate_admin.use_cases.drafts import Outcome
from fluxgate_admin.use_cases.ports import HistoryQuery, Revision
from fluxgate_admin.v2.calls import Call, Force, Limit, NamespaceQuery, WriteCall, reading, writing
from fluxgate_admin.v2.documented import NOT_YET, READS, WRITES, answers, responses
from fluxgate_admin.v2.rendering import (
    of_moment,
    shown_page,
    shown_sync,
    shown_warnings,
    write_answer,
)
from fluxgate_admin.v2.shapes import (
    OPEN,
    LaggardShape,
    ProblemShape,
    SyncWord,
    TrialShape,
)
from fluxgate_admin.v2.spelling import STRICT
from fluxgate_admin.v2.validate_shapes import Kind

Number = Annotated[int, Path(ge=1, le=2**62, examples=[17])]
_READS = reading("history:read", everything)
_WRITES = writing("history:write", everything)

router = APIRouter(prefix="/v2/history", tags=["history"], route_class=JsonRoute)


class HistoryObjectShape(BaseModel):
    """Whose revision it is."""

    model_config = OPEN

    id: str
    kind: str
    namespace: str
    name: str


class RevisionShape(BaseModel):
    """One accepted change of one object."""

    model_config = OPEN

    revision: int
    object: HistoryObjectShape
    change: Literal["created", "updated", "deleted"]
    author: str = Field(examples=["key:ci (key_0f3c7a1e9b2d4c55)"])
    reason: str
    request_id: str
    via: Literal["api", "watch"] = Field(
        description="`watch`: it came in another way, by kubectl or as a file."
    )
    at: str = Field(examples=["2024-11-14T09:23:11Z"])


class RevisionPageShape(BaseModel):
    """A page of revisions, newest first."""

    model_config = OPEN

    data: list[RevisionShape]
    has_more: bool
    after: str | None = Field(description="The cursor of the next page, null on the last.")


class RevisionDetailShape(RevisionShape):
    """A revision with the object before and after it."""

    before: dict[str, Any] | None
    after: dict[str, Any] | None


class DiffShape(BaseModel):
    """What a revision changed, as a unified diff of YAML."""

    model_config = OPEN

    revision: int
    object: HistoryObjectShape
    diff: str


class RollbackBody(BaseModel):
    """To which of the two states of the revision; without a body, to the one after it."""

    model_config = STRICT

    state: Literal["after", "before"] = Field(
        default="after",
        description="`after`: as the object was once the revision was made (deleted, if it deleted it); "
        "`before`: as it was until then, which takes the revision back.",
    )


class RollbackShape(BaseModel):
    """What became of the object. `changed` is false when it was like that already."""

    model_config = OPEN

    object: HistoryObjectShape
    changed: bool
    revision: int | None = Field(description="The new revision.")
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    warnings: list[ProblemShape] | None = None


@router.get(
    "",
    operation_id="list_history",
    response_model=None,
    responses=responses({200: answers(RevisionPageShape, "Revisions, newest first.")}, (422,)),
)
async def list_history(
    call: Call = _READS,
    after: Annotated[
        Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,17})?$")] | SkipJsonSchema[None],
        Query(description="`after` of the page before."),
    ] = None,
    limit: Limit = 50,
    kind: Annotated[Kind | SkipJsonSchema[None], Query(description="Only of this kind.")] = None,
    namespace: NamespaceQuery = None,
    name: Annotated[
        ObjectName | SkipJsonSchema[None], Query(description="Only of this object; with kind.")
    ] = None,
    author: Annotated[str, Query(max_length=256, description="Only by this author, exactly.")] = "",
) -> Response:
    """Every change of objects the caller sees, whichever way it came in."""
    if name is not None and kind is None:
        raise UnprocessableError("name: say of which kind.", error="invalid")
    ref = None
    if name is not None and kind is not None:
        ref = call.api.objects.place(call.principal, kind, name, namespace)
    query = HistoryQuery(
        namespaces=frozenset((namespace,)) if namespace else None,
        ref=ref,
        kind=kind or "",
        author=author,
        before=int(after) if after else None,
        limit=limit,
    )
    page = await call.api.changelog.list(call.principal, query)
    cursor = str(page.before) if page.before is not None else None
    return json_answer(shown_page([_shown(each) for each in page.revisions], cursor))


@router.get(
    "/{revision}",
    operation_id="get_revision",
    response_model=None,
    responses=responses({200: answers(RevisionDetailShape, "The revision.")}, READS),
)
async def get_revision(revision: Number, call: Call = _READS) -> Response:
    """One revision, with the object before and after it."""
    found = await call.api.changelog.get(call.principal, revision)
    return json_answer({**_shown(found), "before": found.before, "after": found.after})


@router.get(
    "/{revision}/diff",
    operation_id="get_revision_diff",
    response_model=None,
    responses=responses({200: answers(DiffShape, "What it changed.")}, READS),
)
async def get_revision_diff(revision: Number, call: Call = _READS) -> Response:
    """What a revision changed."""
    found = await call.api.changelog.get(call.principal, revision)
    return json_answer(
        {"revision": found.number, "object": _object(found.ref), "diff": diff_of(found)}
    )


@router.post(
    "/{revision}/rollback",
    operation_id="rollback",
    response_model=None,
    responses=responses(
        {
            200: answers(
                RollbackShape | TrialShape, "Done and served; with dry_run, what it would do."
            ),
            202: answers(RollbackShape, NOT_YET),
        },
        WRITES,
    ),
)
async def rollback(
    revision: Number,
    body: Annotated[RollbackBody | None, Body()] = None,
    call: WriteCall = _WRITES,
    force: Force = False,
) -> Response:
    """Make the object what it was; that is a change like any other, and takes the write scope of the kind."""
    side = Side((body or RollbackBody()).state)
    options = call.forced(force=force)

    async def perform() -> Response:
        outcome = await call.api.changelog.rollback(call.principal, revision, side, options)
        return write_answer(call, outcome, _rolled_back(outcome))

    return await call.answer(perform)


def _rolled_back(outcome: Outcome) -> dict[str, Any]:
    return {
        "object": _object(outcome.ref),
        "changed": outcome.change is not None,
        "revision": outcome.revision,
        **shown_sync(outcome.sync),
        **shown_warnings(outcome.report),
    }


def _shown(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "object": _object(revision.ref),
        "change": revision.change.value,
        "author": revision.author,
        "reason": revision.reason,
        "request_id": revision.request_id,
        "via": revision.via,
        "at": of_moment(revision.at),
    }


def _object(ref: ObjectRef) -> dict[str, str]:
    return {
        "id": public_id(ref),
        "kind": ref.kind,
        "namespace": ref.namespace,
        "name": ref.name,
    }
