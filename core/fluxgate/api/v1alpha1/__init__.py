"""The kinds of ``gateway.fluxgate.io/v1alpha1``, as frozen pydantic models."""

from __future__ import annotations

from fluxgate.api.v1alpha1.apikey import ApiKey, ApiKeySpec
from fluxgate.api.v1alpha1.backend import Backend, BackendSpec
from fluxgate.api.v1alpha1.base import (
    API_VERSION,
    GROUP,
    VERSION,
    Model,
    ObjectMeta,
    Resource,
    duration_ms,
)
from fluxgate.api.v1alpha1.gatewayconfig import GatewayConfig, GatewayConfigSpec
from fluxgate.api.v1alpha1.plugin import Plugin, PluginSpec
from fluxgate.api.v1alpha1.route import Route, RouteSpec
from fluxgate.api.v1alpha1.tenant import Tenant, TenantSpec
from fluxgate.api.v1alpha1.upstream import Upstream, UpstreamSpec

KINDS: tuple[type[Resource], ...] = (
    GatewayConfig,
    Route,
    Backend,
    Upstream,
    Plugin,
    ApiKey,
    Tenant,
)
"""Every kind, in the order they are documented."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "ApiKey",
    "ApiKeySpec",
    "Backend",
    "BackendSpec",
    "GatewayConfig",
    "GatewayConfigSpec",
    "Model",
    "ObjectMeta",
    "Plugin",
    "PluginSpec",
    "Resource",
    "Route",
    "RouteSpec",
    "Tenant",
    "TenantSpec",
    "Upstream",
    "UpstreamSpec",
    "duration_ms",
]
