"""Limits counted by all replicas together: Envoy's rate limit filter, asking a service.

The service is envoyproxy/ratelimit; what it counts comes from our xDS server too
(:mod:`fluxgate.xds.rate_limit_config`), made from the same IR. The filter's configuration arrives by
ECDS; a route without an exact limit leaves it switched off. The domain is the gateway's name.

Protos: envoy.extensions.filters.http.ratelimit.v3.RateLimit,
envoy.config.ratelimit.v3.RateLimitServiceConfig, envoy.config.route.v3.FilterConfig.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.ratelimit.v3 import rate_limit_pb2 as rate_limit_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.any_pb2 import Any as AnyMessage

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.rate_limit import QuotaUse, RateLimitServer, RouteLimits
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.limit_descriptors import rate_limits
from fluxgate.xds.proto import duration, payload_of
from fluxgate.xds.rate_limit_config import rate_limit_config

RATE_LIMIT_TYPE = typeurl.PREFIX + "envoy.extensions.filters.http.ratelimit.v3.RateLimit"

_NO_SERVICE = "rate-limit-service-is-not-configured"
"""A cluster that is never there: no route switches the filter on without a service."""


def global_rate_limit(gateway: Gateway) -> rate_limit_v3.RateLimit:
    """The filter's configuration."""
    server = next(iter(gateway.shared_of(RateLimitServer)), None)
    message = rate_limit_v3.RateLimit(
        domain=gateway.name,
        stat_prefix="global_limit",
        failure_mode_deny=server is not None and server.closed,
        timeout=duration(server.timeout_ms if server else 100),
        rate_limited_as_resource_exhausted=True,
        enable_x_ratelimit_headers=rate_limit_v3.RateLimit.DRAFT_VERSION_03,
        disable_x_envoy_ratelimited_header=True,
        rate_limits=rate_limits(gateway, names.GLOBAL_LIMIT_FILTER, exact=True) if server else (),
    )
    message.status_on_error.code = 503
    message.rate_limit_service.transport_api_version = "V3"
    service = message.rate_limit_service.grpc_service.envoy_grpc
    service.cluster_name = server.name if server else _NO_SERVICE
    return message


class GlobalLimit:
    """The filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.GLOBAL_LIMIT_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:  # noqa: ARG002 - the hook's signature
        """The entry in the chain. Always there: a first limit must not change the listener."""
        return discovered_filter(self.name, RATE_LIMIT_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Say the route's buckets, and switch the filter on where it has any."""
        limits, quotas = route.policy(RouteLimits), route.policy(QuotaUse)
        said = dict(limits.exact) if limits is not None else {}
        if quotas is not None and quotas.exact and quotas.owner:
            said["owner"] = quotas.owner
        if not said and not (quotas is not None and quotas.exact):
            return
        enabled = route_v3.FilterConfig(config=AnyMessage())
        message.typed_per_filter_config[self.name].Pack(enabled, deterministic=True)
        if said:
            message.metadata.filter_metadata[self.name].update(said)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The filter's configuration for ECDS, and what the service counts."""
        extension = extension_v3.TypedExtensionConfig(name=self.name)
        extension.typed_config.Pack(global_rate_limit(gateway), deterministic=True)
        servers = gateway.shared_of(RateLimitServer)
        own = SnapshotResource.of(
            typeurl.EXTENSION,
            self.name,
            payload_of(extension),
            references=[(typeurl.CLUSTER, each.name) for each in servers],
            origins=(gateway.origin,),
        )
        return (own, rate_limit_config(gateway)) if servers else (own,)
