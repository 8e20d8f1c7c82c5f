"""What a route gets from its gateway without any Plugin: quotas to count, and a bound on bodies."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import Route
from fluxgate.ir import RoutePolicy
from fluxgate.ir.policies.request_size import BodyLimit
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.plugins import Policies
from fluxgate.translator.tenants import TenantFact


def inherit(
    policies: Policies, route: Route, scope: GatewayScope, tenant: TenantFact | None
) -> Policies:
    """``policies`` with what the gateway asks of every route; a nearer bound on bodies wins."""
    added: list[RoutePolicy] = []
    if (quotas := scope.quotas.on_route(tenant)) is not None:
        added.append(quotas)
    bounded = any(isinstance(each, BodyLimit) for each in policies.on_route)
    if scope.max_body_bytes is not None and not bounded:
        added.append(BodyLimit(scope.max_body_bytes, streams=route.spec.realtime))
    return policies.adding(*added) if added else policies
