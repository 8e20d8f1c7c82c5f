"""What the local control socket tells, asked of an admin API: the same shapes, so the same output."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fluxgate.api.v1alpha1 import KINDS
from fluxgate_cli.control.models import (
    CandidateView,
    ConditionView,
    ExplainReply,
    ExplainRequest,
    GatewayView,
    NodeView,
    ObjectView,
    PolicyView,
    StatusView,
    WaitReply,
)
from fluxgate_cli.errors import RefusedError
from fluxgate_cli.output import say

if TYPE_CHECKING:
    from fluxgate_cli.admin_client.api import AdminApi

LOOK_EVERY = 1.0
"""Seconds between two looks of a wait: half of what the API allows in a minute."""


def explained_by_api(request: ExplainRequest, name: str, gateway: str | None) -> ExplainReply:
    """Which route takes a request, by the API of a context. ``route`` is the id of the object."""
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands

    body = {"method": request.method, "url": request.url, "headers": dict(request.headers)}
    with connected(name) as api:
        found = api.ask(
            "POST", "/v2/explain", None, body | ({"gateway": gateway} if gateway else {})
        )
    shown: Mapping[str, Any] = found.json()
    route = shown.get("route") or {}
    same = ("gateway", "listener", "method", "host", "path", "query", "credential", "virtual_host")
    return ExplainReply(
        **{each: shown[each] for each in same},
        virtual_host_reason="",
        route=route.get("id") or "",
        object=route.get("object") or "",
        reason=shown["reason"],
        action=shown["action"],
        policies=tuple(shown["policies"]),
        chain=tuple(
            PolicyView(
                type=each["type"], object=each["object"], appended_to=tuple(each["appended_to"])
            )
            for each in shown["chain"]
        ),
        tried=tuple(
            CandidateView(
                route=each["id"] or "",
                object=each["object"],
                condition=each["condition"],
                reason=each["reason"],
            )
            for each in shown["tried"]
        ),
    )


def status_by_api(name: str) -> StatusView:
    """What the nodes of an API's gateways serve, and every object of the kinds that may be read."""
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above

    with connected(name) as api:
        return _status(api)


def waited_by_api(name: str, timeout: float) -> WaitReply:
    """The status once every node serves the newest configuration, or after ``timeout`` seconds."""
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above

    began = time.monotonic()
    with connected(name) as api:
        while True:
            nodes = _nodes(api)
            seconds = time.monotonic() - began
            if _all_serve(nodes) or seconds + LOOK_EVERY > timeout:
                break
            time.sleep(LOOK_EVERY)
        missing = tuple(each.id for each in nodes if not each.serves_newest)
        return WaitReply(
            served=_all_serve(nodes),
            revision=0,
            seconds=seconds,
            missing=missing,
            status=_status(api),
        )


def _status(api: AdminApi) -> StatusView:
    nodes = _nodes(api)
    gateways = tuple(
        GatewayView(
            name=name,
            addresses=(),
            snapshot="",
            served=_all_serve([each for each in nodes if each.gateway == name]),
        )
        for name in sorted({each.gateway for each in nodes})
    )
    return StatusView(
        version="",
        pid=0,
        started_at=0.0,
        config=api.context.server,
        revision=0,
        served=_all_serve(nodes),
        gateways=gateways,
        nodes=nodes,
        objects=_objects(api),
    )


def _all_serve(nodes: Sequence[NodeView]) -> bool:
    return bool(nodes) and all(each.serves_newest for each in nodes)


def _nodes(api: AdminApi) -> tuple[NodeView, ...]:
    return tuple(
        NodeView(
            id=each["id"],
            gateway=each["gateway"],
            connected=each["connected"],
            snapshot=each["version"],
            serves_newest=each["sync_state"] == "synced",
            version=each["agent"],
            lag=each["lag"],
            rejections=tuple(filter(None, (each["last_error"],))),
        )
        for each in api.pages("/v2/nodes")
    )


def _objects(api: AdminApi) -> tuple[ObjectView, ...]:
    found: list[ObjectView] = []
    for kind in (str(each.model_fields["kind"].default) for each in KINDS):
        try:
            found += [_object(each) for each in api.pages("/v2/objects", {"kind": kind})]
        except RefusedError as error:
            if error.status != 403:
                raise
            say(f"objects of kind {kind} are not listed: this credential may not read them")
    return tuple(found)


def _object(shown: Mapping[str, Any]) -> ObjectView:
    return ObjectView(
        kind=shown["kind"],
        namespace=shown["namespace"],
        name=shown["name"],
        conditions=tuple(ConditionView(**each) for each in shown["conditions"]),
    )
