"""The type URLs of xDS resources, and the order in which they are sent."""

from __future__ import annotations

PREFIX = "type.googleapis.com/"

CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINT = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
EXTENSION = PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTE = PREFIX + "envoy.config.route.v3.RouteConfiguration"
RATE_LIMIT = PREFIX + "ratelimit.config.ratelimit.v3.RateLimitConfig"
"""Not for Envoy but for the rate limit service, so it has no place in the order."""

ORDER = (CLUSTER, ENDPOINT, SECRET, EXTENSION, LISTENER, ROUTE)
"""Make before break: what is referred to comes before what refers to it.

The order is that of the xDS protocol's "eventual consistency considerations":
CDS and EDS first, then LDS, then RDS; secrets and filter configurations before
the listeners that name them.
"""

_SHORT = {
    CLUSTER: "Cluster",
    ENDPOINT: "ClusterLoadAssignment",
    SECRET: "Secret",
    EXTENSION: "TypedExtensionConfig",
    LISTENER: "Listener",
    ROUTE: "RouteConfiguration",
    RATE_LIMIT: "RateLimitConfig",
}


def short(type_url: str) -> str:
    """The message's bare name, for messages and tables."""
    return _SHORT.get(type_url, type_url.rpartition(".")[2])
