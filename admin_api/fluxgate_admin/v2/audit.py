"""``GET /v2/audit``: who called what, and what became of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.use_cases.audit import (
    STATUSES,
    AuditOutcome,
    cursor_of,
    moment,
    outcome_of,
    read_cursor,
)
from fluxgate_admin.use_cases.ports import ANY_STATUS, AuditQuery, AuditRecord
from fluxgate_admin.v2.calls import After, Call, Limit, reading
from fluxgate_admin.v2.documented import answers, responses
from fluxgate_admin.v2.rendering import of_moment
from fluxgate_admin.v2.shapes import OPEN

_READS = reading("audit:read")

router = APIRouter(prefix="/v2/audit", tags=["audit"], route_class=JsonRoute)

Moment = (
    Annotated[
        str,
        StringConstraints(
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
            r"(Z|[+-][0-9]{2}:[0-9]{2})$"
        ),
    ]
    | SkipJsonSchema[None]
)
_MOMENT_EXAMPLES = ["2024-11-14T09:23:11Z"]


class AuditShape(BaseModel):
    """One call."""

    model_config = OPEN

    at: str = Field(description="When it was answered.", examples=_MOMENT_EXAMPLES)
    request_id: str = Field(examples=["req_77f2a9c1"])
    principal: str | None = Field(
        description="Who called, as history names authors; null when nobody knows.",
        examples=["key:ci (key_0f3c7a1e9b2d4c55)"],
    )
    principal_id: str | None = Field(
        description="The id of its credential.", examples=["key_0f3c7a1e9b2d4c55"]
    )
    organisation: str | None = Field(description="Whose credential it is.")
    method: str
    path: str = Field(
        description="Without the query; what looks like a secret is cut.", examples=["/v2/routes"]
    )
    status: int | None = Field(description="Of the answer; null when none was begun.")
    outcome: AuditOutcome = Field(
        description="`refused`: the status is 400 or more. `unanswered`: no answer was begun, and what was asked "
        "for may have been done."
    )
    error: str | None = Field(
        description="The word of the refusal, null where nothing was refused.",
        examples=["scope_mismatch"],
    )
    address: str | None = Field(description="Where the call came from.", examples=["192.0.2.7"])
    seconds: float = Field(description="How long it took.")
    objects: list[str] = Field(
        description="What it changed or would have changed; where a good key was used from elsewhere, its id.",
        examples=[["Route default/payments-service-v2"]],
    )


class AuditPageShape(BaseModel):
    """A page of calls, newest first.

    It may hold fewer than `limit`, or none, and not be the last: go on while `has_more` is true.
    """

    model_config = OPEN

    data: list[AuditShape]
    has_more: bool
    after: str | None = Field(description="The cursor of the next page, null on the last.")


_EXAMPLE = {
    "data": [
        {
            "at": "2024-11-14T09:23:11Z",
            "request_id": "req_77f2a9c1",
            "principal": "key:ci (key_0f3c7a1e9b2d4c55)",
            "principal_id": "key_0f3c7a1e9b2d4c55",
            "organisation": "default",
            "method": "POST",
            "path": "/v2/routes",
            "status": 403,
            "outcome": "refused",
            "error": "scope_mismatch",
            "address": "192.0.2.7",
            "seconds": 0.004,
            "objects": [],
        }
    ],
    "has_more": True,
    "after": "MjAyNC0xMS0xNFQwOToyMzoxMSswMDowMCA0MQ",
}


def _span(
    since: Annotated[
        Moment,
        Query(description="Not before this moment (RFC 3339).", examples=_MOMENT_EXAMPLES),
    ] = None,
    until: Annotated[
        Moment, Query(description="Before this moment (RFC 3339).", examples=_MOMENT_EXAMPLES)
    ] = None,
) -> AuditQuery:
    """When."""
    return AuditQuery(since=moment("since", since), until=moment("until", until))


def _filters(
    span: Annotated[AuditQuery, Depends(_span)],
    principal: Annotated[
        str,
        Query(
            max_length=400,
            description="Only by this caller: the id of its credential, or `principal` as records have it.",
            examples=["key_0f3c7a1e9b2d4c55"],
        ),
    ] = "",
    method: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,16}$")] | SkipJsonSchema[None],
        Query(description="Only of this method.", examples=["POST"]),
    ] = None,
    path: Annotated[
        Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=512)]
        | SkipJsonSchema[None],
        Query(description="Only where the path begins so.", examples=["/v2/routes"]),
    ] = None,
    status: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[2-5]([0-9]{2}|xx)$")] | SkipJsonSchema[None],
        Query(description="Only with this status, or one of a class.", examples=["403", "5xx"]),
    ] = None,
    outcome: Annotated[
        AuditOutcome | SkipJsonSchema[None], Query(description="Only what ended so.")
    ] = None,
    request_id: Annotated[
        str, Query(max_length=64, description="Only this call.", examples=["req_77f2a9c1"])
    ] = "",
) -> AuditQuery:
    """Which calls are asked for."""
    return replace(
        span,
        principal=principal,
        method=method or "",
        path=path or "",
        request_id=request_id,
        statuses=_statuses(status, outcome),
    )


@router.get(
    "",
    operation_id="list_audit",
    response_model=None,
    responses=responses({200: answers(AuditPageShape, "Calls, newest first.", _EXAMPLE)}, (422,)),
)
async def list_audit(
    filters: Annotated[AuditQuery, Depends(_filters)],
    call: Call = _READS,
    after: After = None,
    limit: Limit = 100,
) -> Response:
    """Every call of this API, refused ones included, but for health checks, documentation and public keys.

    Of a flood of refused calls from one address it has one a minute. Who is bound to namespaces reads the calls of its own organisation in which no other namespace occurs.
    """
    query = replace(filters, after=read_cursor(after), limit=limit)
    page = await call.api.audit.page(call.principal, query)
    return json_answer(
        {
            "data": [_shown(each) for each in page.records],
            "has_more": page.after is not None,
            "after": None if page.after is None else cursor_of(page.after),
        }
    )


def _statuses(status: str | None, outcome: AuditOutcome | None) -> tuple[int, int]:
    """The lowest and the highest status that both allow."""
    low, high = ANY_STATUS if outcome is None else STATUSES[outcome]
    if status is None:
        return low, high
    first = int(status.replace("xx", "00"))
    last = first + 99 if status.endswith("xx") else first
    return max(low, first), min(high, last)


def _shown(record: AuditRecord) -> dict[str, Any]:
    return {
        "at": of_moment(record.at),
        "request_id": record.request_id,
        "principal": record.principal or None,
        "principal_id": record.principal_id or None,
        "organisation": record.organisation or None,
        "method": record.method,
        "path": record.path,
        "status": record.status or None,
        "outcome": outcome_of(record.status).value,
        "error": record.error or None,
        "address": record.address or None,
        "seconds": round(record.seconds, 6),
        "objects": list(record.objects),
    }
