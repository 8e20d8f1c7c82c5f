"""``key-auth``: who may call; the same fields as a route's own ``auth``."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.route import RouteAuth
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: RouteAuth, _context: Context) -> Policies:
    return replace(policies, auth=config)


POLICY = PolicyType("key-auth", RouteAuth, _apply)
