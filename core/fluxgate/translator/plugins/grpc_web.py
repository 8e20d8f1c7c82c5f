"""``grpc-web``: browsers call gRPC services; without it they cannot, so leaving it out is safe."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import Model
from fluxgate.ir.policies.grpc import GrpcWeb
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class GrpcWebConfig(Model):
    """The config of ``grpc-web``: nothing can be set."""


def _apply(policies: Policies, _config: GrpcWebConfig, _context: Context) -> Policies:
    return policies.adding(GrpcWeb())


POLICY = PolicyType(
    "grpc-web",
    GrpcWebConfig,
    _apply,
    harmless_without=True,
    summary="Translates gRPC-Web, as browsers speak it, to gRPC. Pages of other origins need cors, too.",
    example="{}\n",
)
