"""``key-auth``: who may call; the same fields as a route's own ``auth``."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.route import RouteAuth
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: RouteAuth, _context: Context) -> Policies:
    return replace(policies, auth=config)


POLICY = PolicyType(
    "key-auth",
    RouteAuth,
    _apply,
    summary="Says who may call: which credentials are taken, and which scopes and audiences they "
    "must have. API keys are checked inside Envoy against hashes.",
    example="""\
credentials: [ApiKey]
scopes: [orders:read]
audiences: [service]
""",
    errors=(
        (401, "no API key is sent, or it is unknown, expired, or one of several"),
        (403, "the key lacks a scope, or is for another audience, tenant or client address"),
    ),
)
