"""Who may be which node: by certificate, by token, or because it is on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from envoy.config.core.v3 import base_pb2 as core_v3

from fluxgate_xds.identity import Identities
from fluxgate_xds.tokens import ReviewUnavailableError, TokenAuthority, bearer_token

Context = grpc.aio.ServicerContext[Any, Any]

FOREVER = float("inf")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a stream is not served."""

    code: grpc.StatusCode
    reason: str


def gateway_of(node: core_v3.Node) -> str:
    """The gateway a node asks for: its cluster, or ``gateway`` in its metadata.

    The rate limit service (``CONFIG_TYPE=GRPC_XDS_SOTW``) can set its id and metadata, but no cluster.
    """
    named = node.metadata.fields.get("gateway")
    return node.cluster or (named.string_value if named is not None else "")


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides about the first request of a stream."""

    mutual_tls: bool
    clock: Callable[[], float]
    tokens: TokenAuthority | None = None

    async def admit(self, node: core_v3.Node, context: Context) -> float | Refusal:
        """Until when the node may be served, in seconds since the epoch, or why it may not."""
        gateway = gateway_of(node)
        if not node.id or not gateway:
            return Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "the first request must carry node.id and node.cluster (the gateway's name)",
            )
        peer = Identities.of(context.auth_context(), mutual_tls=self.mutual_tls)
        if peer.may_be(gateway, node.id):
            return FOREVER
        if self.tokens is None or peer.names:
            return _denied(f"the client certificate does not allow node {node.id!r} of {gateway!r}")
        return await self._by_token(self.tokens, node, context)

    async def _by_token(
        self, tokens: TokenAuthority, node: core_v3.Node, context: Context
    ) -> float | Refusal:
        gateway = gateway_of(node)
        token = bearer_token(context.invocation_metadata())
        if not token:
            return Refusal(
                grpc.StatusCode.UNAUTHENTICATED,
                "neither a client certificate nor one ServiceAccount token "
                "(authorization: Bearer) was presented",
            )
        try:
            identity = await tokens.reviewer.review(token)
        except ReviewUnavailableError as error:
            return Refusal(grpc.StatusCode.UNAVAILABLE, str(error))
        if identity is None or identity.expires <= self.clock():
            return Refusal(
                grpc.StatusCode.UNAUTHENTICATED,
                "the ServiceAccount token is expired, revoked or for another audience",
            )
        who = f"ServiceAccount {identity.namespace}/{identity.service_account}"
        if identity.pod != node.id:
            pod = f"pod {identity.pod!r}" if identity.pod else "no pod"
            return _denied(f"the token of {who} is bound to {pod}, not to node {node.id!r}")
        await tokens.known()
        if not tokens.allowed(gateway, identity):
            return _denied(
                f"{who} may not be a node of {gateway!r}: the pod has to be in the "
                "GatewayConfig's namespace, or its ServiceAccount in spec.allowedServiceAccounts"
            )
        return identity.expires


def _denied(reason: str) -> Refusal:
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason)
