"""The intermediate representation: what the gateway does, in Envoy's words, without Envoy's types.

Frozen, slotted dataclasses with tuples; hashable, comparable, free of
Kubernetes types. ``translate`` makes them, ``build_snapshot`` reads them.
"""

from __future__ import annotations

from fluxgate.ir.auth import ApiKeyIR, ApiKeyTable, KeyAuth, PlanBucket
from fluxgate.ir.cluster import (
    ActiveCheck,
    Cluster,
    ClusterTLS,
    EndpointIR,
    Health,
    LoadBalancer,
    OutlierDetection,
    Thresholds,
)
from fluxgate.ir.gateway import (
    AccessLogIR,
    CertificateIR,
    Gateway,
    ListenerIR,
    ListenerTLSIR,
    RouteTable,
    ServerNamesIR,
    VirtualHost,
)
from fluxgate.ir.match import (
    CredentialClass,
    PathKind,
    PathMatch,
    RouteMatch,
    ValueKind,
    ValueMatch,
)
from fluxgate.ir.policy import PolicyOrigin, RoutePolicy, Shared
from fluxgate.ir.route import (
    CorsPolicy,
    DirectResponse,
    Forward,
    HashPolicy,
    HTTPRoute,
    MirrorIR,
    PathRewriteIR,
    Redirect,
    RetryPolicy,
    RewriteKind,
    RouteAction,
    WeightedCluster,
)
from fluxgate.ir.telemetry import CollectorIR, LogExportIR, TracingIR

__all__ = [
    "AccessLogIR",
    "ActiveCheck",
    "ApiKeyIR",
    "ApiKeyTable",
    "CertificateIR",
    "Cluster",
    "ClusterTLS",
    "CollectorIR",
    "CorsPolicy",
    "CredentialClass",
    "DirectResponse",
    "EndpointIR",
    "Forward",
    "Gateway",
    "HTTPRoute",
    "HashPolicy",
    "Health",
    "KeyAuth",
    "ListenerIR",
    "ListenerTLSIR",
    "LoadBalancer",
    "LogExportIR",
    "MirrorIR",
    "OutlierDetection",
    "PathKind",
    "PathMatch",
    "PathRewriteIR",
    "PlanBucket",
    "PolicyOrigin",
    "Redirect",
    "RetryPolicy",
    "RewriteKind",
    "RouteAction",
    "RouteMatch",
    "RoutePolicy",
    "RouteTable",
    "ServerNamesIR",
    "Shared",
    "Thresholds",
    "TracingIR",
    "ValueKind",
    "ValueMatch",
    "VirtualHost",
    "WeightedCluster",
]
