"""The client status discovery service, seen from the management server.

Standard tools read from it which node has which configuration, and what a node
said when it rejected one: the resources it refused are in error, those it did not are
in sync. Secrets are named, never shown. A node sees itself;
``readers`` (exact subject alternative names) and loopback peers see all.
Source: envoy/service/status/v3/csds.proto.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from envoy.admin.v3 import config_dump_shared_pb2 as admin_v3
from envoy.service.status.v3 import csds_pb2 as status_v3
from envoy.service.status.v3 import csds_pb2_grpc

from fluxgate.ports import NodeState, SyncState, TypeState
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import typeurl
from fluxgate_xds.cache import SnapshotCache
from fluxgate_xds.identity import Identities
from fluxgate_xds.node_matcher import UnsupportedMatcherError, selects
from fluxgate_xds.nodes import NodeRegistry

Context = grpc.aio.ServicerContext[Any, Any]

CSDS = "envoy.service.status.v3.ClientStatusDiscoveryService"

_CONFIG_STATUS = {
    SyncState.NOT_SENT: status_v3.ConfigStatus.NOT_SENT,
    SyncState.PENDING: status_v3.ConfigStatus.STALE,
    SyncState.SYNCED: status_v3.ConfigStatus.SYNCED,
    SyncState.REJECTED: status_v3.ConfigStatus.ERROR,
}
_CLIENT_STATUS = {
    SyncState.NOT_SENT: admin_v3.ClientResourceStatus.UNKNOWN,
    SyncState.PENDING: admin_v3.ClientResourceStatus.REQUESTED,
    SyncState.SYNCED: admin_v3.ClientResourceStatus.ACKED,
    SyncState.REJECTED: admin_v3.ClientResourceStatus.NACKED,
}


class ClientStatusService(csds_pb2_grpc.ClientStatusDiscoveryServiceServicer):  # type: ignore[misc]
    """Answers from the node registry and the snapshot cache."""

    def __init__(
        self,
        cache: SnapshotCache,
        registry: NodeRegistry,
        *,
        mutual_tls: bool,
        readers: tuple[str, ...] = (),
    ) -> None:
        self._cache = cache
        self._registry = registry
        self._mutual_tls = mutual_tls
        self._readers = readers

    async def FetchClientStatus(  # noqa: N802 - the proto's name
        self, request: status_v3.ClientStatusRequest, context: Context
    ) -> status_v3.ClientStatusResponse:
        """One answer to one question."""
        return await self._answer(request, context)

    async def StreamClientStatus(  # noqa: N802 - the proto's name
        self, request_iterator: AsyncIterator[status_v3.ClientStatusRequest], context: Context
    ) -> AsyncIterator[status_v3.ClientStatusResponse]:
        """An answer to every question on the stream."""
        async for request in request_iterator:
            yield await self._answer(request, context)

    async def _answer(
        self, request: status_v3.ClientStatusRequest, context: Context
    ) -> status_v3.ClientStatusResponse:
        peer = Identities.of(context.auth_context(), mutual_tls=self._mutual_tls)
        sees_all = peer.is_any(self._readers)
        known = self._registry.nodes()
        visible = [node for node in known if sees_all or peer.may_be(node.gateway, node.id)]
        if not visible and not sees_all:
            reason = "the client certificate belongs to no known node and to no reader"
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, reason)
        try:
            chosen = [node for node in visible if selects(request.node_matchers, node)]
        except UnsupportedMatcherError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        contents = not request.exclude_resource_contents
        return status_v3.ClientStatusResponse(
            config=[self._config(node, contents=contents) for node in chosen]
        )

    def _config(self, node: NodeState, *, contents: bool) -> status_v3.ClientConfig:
        config = status_v3.ClientConfig()
        config.node.id, config.node.cluster = node.id, node.gateway
        config.node.user_agent_name = node.user_agent
        snapshot = self._cache.snapshot(node.gateway)
        for url, state in node.types.items():
            resources = snapshot.of_type(url).values() if snapshot is not None else ()
            for resource in resources:
                if not resource.on_demand:
                    _fill(config.generic_xds_configs.add(), resource, state, contents=contents)
        return config


def _fill(
    entry: status_v3.ClientConfig.GenericXdsConfig,
    resource: SnapshotResource,
    state: TypeState,
    *,
    contents: bool,
) -> None:
    refused = state.nack is not None and resource.name in state.nack.resources
    rejected = state.state is SyncState.REJECTED
    of_resource = SyncState.SYNCED if rejected and not refused else state.state
    entry.type_url, entry.name = resource.type_url, resource.name
    entry.version_info = state.acked
    entry.config_status = _CONFIG_STATUS[of_resource]
    entry.client_status = _CLIENT_STATUS[of_resource]
    if contents and resource.type_url != typeurl.SECRET:
        entry.xds_config.type_url = resource.type_url
        entry.xds_config.value = resource.payload
    if refused and state.nack is not None:
        entry.error_state.details = state.nack.message
        entry.error_state.version_info = state.nack.version
        entry.error_state.last_update_attempt.FromNanoseconds(int(state.nack.at * 1e9))
