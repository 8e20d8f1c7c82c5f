"""The running gateway as the control API shows it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from fluxgate.ir import Health
from fluxgate.ports import NodeState, SyncState
from fluxgate.xds import typeurl
from fluxgate_cli.control.models import (
    ConditionView,
    ExplainReply,
    ExplainRequest,
    GatewayView,
    NodeView,
    ObjectView,
    PoolView,
    ProblemView,
    StatusView,
    TargetView,
    UpstreamsView,
    WaitReply,
    WaitRequest,
)
from fluxgate_cli.errors import UsageError
from fluxgate_cli.explaining import explain_request
from fluxgate_operator.health import PoolHealth, TargetHealth
from fluxgate_operator.standalone import StandaloneGateway
from fluxgate_operator.standalone_status import StandaloneStatus


class RunningInstance:
    """Answers the control API from a :class:`StandaloneGateway`."""

    def __init__(self, gateway: StandaloneGateway, config_dir: Path, started_at: float) -> None:
        self._gateway = gateway
        self._config_dir = config_dir
        self._started_at = started_at

    def status(self) -> StatusView:
        """Everything about the instance at this moment."""
        found = self._gateway.status()
        return StatusView(
            version=version("fluxgate"),
            pid=os.getpid(),
            started_at=self._started_at,
            config=str(self._config_dir.absolute()),
            revision=found.revision,
            served=found.propagation.complete and not found.failure,
            failure=found.failure,
            gateways=tuple(_gateways(found)),
            nodes=tuple(_node(node, found) for node in found.nodes),
            objects=tuple(_objects(found)),
            problems=tuple(
                ProblemView(
                    file=each.file,
                    line=each.line,
                    column=each.column,
                    subject=each.subject,
                    message=each.message,
                )
                for each in found.problems
            ),
        )

    async def wait(self, request: WaitRequest) -> WaitReply:
        """Wait for what the folder says now to be served everywhere, or for the timeout."""
        began = time.monotonic()
        found = await self._gateway.wait(None, request.timeout)
        return WaitReply(
            served=found.complete,
            revision=found.revision,
            seconds=time.monotonic() - began,
            missing=tuple(f"{lag.node} ({lag.message})" for lag in found.lagging),
            status=self.status(),
        )

    def upstreams(self) -> UpstreamsView:
        """How the targets of every pool are."""
        return UpstreamsView(pools=tuple(map(_pool, self._gateway.pools())))

    def explain(self, request: ExplainRequest) -> ExplainReply:
        """Which route a request would take. Raises :class:`UsageError`."""
        for gateway in self._gateway.gateways.values():
            return explain_request(gateway, request)
        raise UsageError("no GatewayConfig is served")


def _gateways(found: StandaloneStatus) -> Iterator[GatewayView]:
    if found.gateway is not None:
        yield GatewayView(
            name=found.gateway.name,
            addresses=found.addresses,
            snapshot=found.snapshot,
            served=found.propagation.complete,
            envoy_pid=found.envoy.pid,
            envoy_state=found.envoy.state,
            envoy_restarts=found.envoy.restarts,
        )


def _node(node: NodeState, found: StandaloneStatus) -> NodeView:
    lags = {lag.node: lag.message for lag in found.propagation.lagging}
    return NodeView(
        id=node.id,
        version=node.user_agent,
        lag=lags.get(node.id, "") if node.connected else "not connected",
        gateway=found.gateway.name if found.gateway is not None else node.gateway,
        connected=node.connected,
        snapshot=node.snapshot,
        serves_newest=node.id in found.propagation.served,
        rejections=tuple(
            f"{typeurl.short(url)}: {state.nack.message}"
            for url, state in sorted(node.types.items())
            if state.state is SyncState.REJECTED and state.nack is not None
        ),
    )


def _objects(found: StandaloneStatus) -> Iterator[ObjectView]:
    for ref, status in sorted(found.objects.items()):
        file, line = found.files.get(ref, ("", 0))
        yield ObjectView(
            kind=ref.kind,
            namespace=ref.namespace,
            name=ref.name,
            file=file,
            line=line,
            conditions=tuple(
                ConditionView(
                    type=each.type, status=each.status, reason=each.reason, message=each.message
                )
                for each in status.conditions
            ),
        )


def _pool(pool: PoolHealth) -> PoolView:
    return PoolView(
        gateway=pool.gateway,
        pool=pool.pool,
        object=str(pool.upstream or ""),
        checked=pool.checked,
        nodes=len(pool.nodes),
        targets=tuple(_target(pool, each) for each in pool.targets),
    )


def _target(pool: PoolHealth, target: TargetHealth) -> TargetView:
    by_hand = () if target.by_hand is Health.AUTO else ("ByHand",)
    return TargetView(
        address=target.address,
        health=pool.state_of(target),
        reasons=(*by_hand, *target.ailments),
        nodes=tuple(node for node, _ in target.ailing),
    )
