"""``GET /v2/nodes``: the Envoys, what each serves, and what it rejects."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate.ports import FleetNode
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.use_cases.sight import redacted
from fluxgate_admin.v2.calls import Call, Limit, reading
from fluxgate_admin.v2.documented import answers, responses
from fluxgate_admin.v2.rendering import of_moment, shown_page
from fluxgate_admin.v2.shapes import OPEN

_READS = reading("nodes:read")

router = APIRouter(prefix="/v2/nodes", tags=["nodes"], route_class=JsonRoute)


class NodeShape(BaseModel):
    """One Envoy."""

    model_config = OPEN

    id: str
    gateway: str = Field(
        description="The GatewayConfig it serves: `namespace/name`, in the namespace `default` the name alone."
    )
    replica: str = Field(description="Of the control plane; empty where there is only one.")
    agent: str = Field(description="Its own name and version.")
    connected: bool
    version: str = Field(
        description="Of the snapshot it is proven to serve; empty before the first."
    )
    last_seen: str
    sync_state: Literal["synced", "pending", "rejected", "disconnected"]
    lag: str = Field(
        description="Why it does not serve the newest configuration; empty when it does."
    )
    last_error: str = Field(description="What it rejects, in Envoy's own words.")


class NodePage(BaseModel):
    """A page of nodes, by gateway and id."""

    model_config = OPEN

    data: list[NodeShape]
    has_more: bool
    after: str | None = Field(description="The cursor of the next page, null on the last.")


@router.get(
    "",
    operation_id="list_nodes",
    response_model=None,
    responses=responses({200: answers(NodePage, "The nodes.")}),
)
async def list_nodes(
    call: Call = _READS,
    after: Annotated[
        Annotated[str, StringConstraints(max_length=1024)] | SkipJsonSchema[None],
        Query(description="`after` of the page before."),
    ] = None,
    limit: Limit = 100,
    gateway: Annotated[
        str, Query(max_length=320, description="Only of this one, as `namespace/name`.")
    ] = "",
) -> Response:
    """Every Envoy of the gateways the caller sees, whichever replica it is connected to."""
    nodes = [
        each
        for each in call.api.fleet.nodes(call.principal, gateway)
        if after is None or _key(each) > after
    ]
    page = nodes[:limit]
    cursor = _key(page[-1]) if len(nodes) > limit else None
    return json_answer(shown_page([_shown(call, each) for each in page], cursor))


def _key(node: FleetNode) -> str:
    return f"{node.gateway} {node.id}"


def _shown(call: Call, node: FleetNode) -> dict[str, Any]:
    return {
        "id": node.id,
        "gateway": node.gateway,
        "replica": node.replica,
        "agent": node.agent,
        "connected": node.connected,
        "version": node.version,
        "last_seen": of_moment(dt.datetime.fromtimestamp(node.last_seen, dt.UTC)),
        "sync_state": _state(node),
        "lag": redacted(call.principal, node.lag),
        "last_error": redacted(call.principal, node.error),
    }


def _state(node: FleetNode) -> str:
    if not node.connected:
        return "disconnected"
    if node.error:
        return "rejected"
    return "pending" if node.lag else "synced"
