"""``POST /v2/explain``: which route a request would take, and why. Nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from fluxgate.explaining import GatewayExplanation
from fluxgate.resources import ObjectRef
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.ids import PREFIXES, public_id
from fluxgate_admin.principal import Principal
from fluxgate_admin.v2.calls import Call, reading
from fluxgate_admin.v2.documented import answers, responses
from fluxgate_admin.v2.shapes import OPEN
from fluxgate_admin.v2.spelling import STRICT

_READS = reading("routes:read")
_HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$", max_length=256)
]
_HeaderValue = Annotated[str, StringConstraints(max_length=8192)]

router = APIRouter(prefix="/v2", tags=["explain"], route_class=JsonRoute)


class ExplainBody(BaseModel):
    """A request, as a client would send it."""

    model_config = STRICT

    url: Annotated[
        str,
        StringConstraints(min_length=1, max_length=65536),
        Field(
            description="Absolute, or a path alone.",
            examples=["https://api.example.com/api/v2/payments/7"],
        ),
    ]
    method: Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$")] = (
        "GET"
    )
    headers: Annotated[dict[_HeaderName, _HeaderValue], Field(max_length=100)] | None = None
    gateway: Annotated[str, StringConstraints(max_length=320)] | None = Field(
        default=None,
        description="Its GatewayConfig, as `namespace/name`; `default/` can be left out, all of it with only one.",
        examples=["shop/main"],
    )


class ExplainRouteShape(BaseModel):
    """A route that was looked at."""

    model_config = OPEN

    id: str | None
    object: str


class CandidateShape(ExplainRouteShape):
    """A route that was tried before, and the first condition that failed."""

    condition: str
    reason: str


class PolicyShape(BaseModel):
    """A policy in force on the route, and the objects that say so."""

    model_config = OPEN

    type: str
    object: str
    appended_to: list[str]


class ExplainShape(BaseModel):
    """The way of a request."""

    model_config = OPEN

    gateway: str
    listener: str
    method: str
    host: str
    path: str
    query: str
    credential: str
    virtual_host: str
    route: ExplainRouteShape | None = Field(description="Null when no route takes it.")
    reason: str
    action: str
    policies: list[str]
    chain: list[PolicyShape]
    tried: list[CandidateShape]


@router.post(
    "/explain",
    operation_id="explain",
    response_model=None,
    responses=responses({200: answers(ExplainShape, "The way of the request.")}, (404, 413, 422)),
)
async def explain(body: ExplainBody, call: Call = _READS) -> Response:
    """Which route a request would take, what would happen to it, and why every earlier route would not take it."""
    headers: Mapping[str, str] = body.headers or {}
    found = call.api.explanations.explain(
        call.principal, body.gateway or "", body.method, body.url, tuple(headers.items())
    )
    return json_answer(_shown(found, call.principal))


def _shown(found: GatewayExplanation, principal: Principal) -> dict[str, Any]:
    way = found.way
    return {
        "gateway": found.gateway,
        "listener": found.listener,
        "method": way.method,
        "host": way.host,
        "path": way.path,
        "query": way.query,
        "credential": way.credential,
        "virtual_host": way.virtual_host,
        "route": _route(way.origin) if way.origin is not None else None,
        "reason": way.reason,
        "action": found.action,
        "policies": list(found.policies),
        "chain": [
            {
                "type": each.type,
                "object": _name(principal, each.source),
                "appended_to": [_name(principal, other) for other in each.appended_to],
            }
            for each in found.chain
        ],
        "tried": [
            {**_route(each.origin), "condition": each.condition, "reason": each.reason}
            for each in way.tried
        ],
    }


def _route(ref: ObjectRef) -> dict[str, Any]:
    return {"id": public_id(ref) if ref.kind in PREFIXES else None, "object": str(ref)}


def _name(principal: Principal, ref: ObjectRef) -> str:
    """A policy may come from an object the caller does not see: of the gateway, or of its tenant."""
    return str(ref) if principal.sees(ref.namespace) else "another object"
