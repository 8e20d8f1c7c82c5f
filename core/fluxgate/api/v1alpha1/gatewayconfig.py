"""GatewayConfig: one fleet of Envoys, its listeners, and what all its routes share."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import (
    AbsolutePath,
    Annotations,
    Duration,
    HttpUrl,
    Model,
    Name,
    ObjectName,
    Port,
    PrinterColumn,
    Resource,
)
from fluxgate.api.v1alpha1.extensions import Extensions
from fluxgate.api.v1alpha1.listener import Listener, bound_apart
from fluxgate.api.v1alpha1.policy import Cors, Retry, SecretRef, Timeouts
from fluxgate.api.v1alpha1.rules import Rule, unique, unique_by
from fluxgate.api.v1alpha1.telemetry import Logging, Tracing
from fluxgate.api.v1alpha1.tenant import Quota


class Plan(Model):
    """How many requests a key may make: a token bucket of ``burst``, refilled at ``requests`` a ``window``."""

    name: ObjectName
    requests: Annotated[int, Field(ge=1, le=100_000_000)]
    window: Duration = "1m"
    burst: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        default=None, description="Size of the bucket; the number of requests when absent."
    )
    quotas: Annotated[tuple[Quota, ...], Field(max_length=32)] = Field(
        default=(), description="For every tenant on this plan, all its keys together."
    )


class RateLimitService(Model):
    """The service that counts limits with policy Redis: envoyproxy/ratelimit, configured by us."""

    url: HttpUrl = Field(description="Where it answers gRPC, for example http://ratelimit:8081.")
    timeout: Duration = Field(
        default="100ms", description="How long a request waits for its answer."
    )
    failure_mode: Literal["Open", "Closed"] = Field(
        default="Open",
        description="While it does not answer, or Redis does not: let requests pass uncounted, or "
        "refuse them (503).",
    )


class KeyFormat(Model):
    """One form of API key: its prefix, and what keys of that form are for."""

    prefix: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z][a-z0-9]{0,15}(_[a-z0-9]{1,15}){0,2}_$", max_length=32),
    ] = Field(description="The visible start of its keys; as long as spec.prefix of an ApiKey.")
    audience: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)] = (
        "service"
    )


class ApiKeySettings(Model):
    """Which forms of API keys the fleet knows and where it looks for them."""

    formats: Annotated[tuple[KeyFormat, ...], Field(min_length=1, max_length=32)] = (
        KeyFormat(prefix="flc_anon_", audience="anon"),
        KeyFormat(prefix="flc_service_", audience="service"),
        KeyFormat(prefix="flx_live_", audience="project"),
        KeyFormat(prefix="flx_test_", audience="project"),
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        unique_by("formats", "two formats have the same prefix", "prefix"),
    )


class RequestId(Model):
    """The x-request-id header."""

    preserve_external: bool = Field(
        default=False, description="Keep an id the client sent instead of making a new one."
    )


class ExposedPort(Model):
    """The port of the fleet's Service that leads to one listener."""

    listener: ObjectName
    port: Port | None = Field(default=None, description="The listener's own port when absent.")
    node_port: Port | None = Field(
        default=None,
        description="Chosen by the cluster when absent; for LoadBalancer and NodePort.",
    )


LabelKey = Annotated[str, StringConstraints(min_length=1, max_length=317)]
LabelValue = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)
]


class Exposure(Model):
    """How the fleet is reached from outside the cluster.

    The operator makes the objects in the GatewayConfig's namespace, where the fleet's pods are,
    and removes them with it.
    """

    kind: Literal["Ingress", "OpenShiftRoute", "LoadBalancer", "NodePort", "None"] = "None"
    class_name: Name | None = Field(
        default=None, description="IngressClass of an Ingress, or loadBalancerClass of a Service."
    )
    annotations: Annotations = Field(
        default_factory=dict, description="On the objects that are made; they win over ours."
    )
    tls_secret_ref: SecretRef | None = Field(
        default=None,
        description="Certificate of an Ingress or OpenShift Route, where TLS ends before the fleet.",
    )
    selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=16)] = Field(
        default_factory=dict,
        description="Labels of the fleet's pods; gateway.fluxgate.io/gateway: <name> when empty.",
    )
    service_name: ObjectName | None = Field(
        default=None,
        description="An existing Service of the fleet, for Ingress and OpenShiftRoute; "
        "made from selector when absent.",
    )
    ports: Annotated[tuple[ExposedPort, ...], Field(max_length=64)] = ()
    stream_timeout: Duration = Field(
        default="1h",
        description="How long an ingress controller in front may keep a silent stream open.",
    )
    external_traffic_policy: Literal["Cluster", "Local"] = Field(
        default="Cluster",
        description="Local keeps the client's address; for LoadBalancer and NodePort.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "ports",
            "two ports name the same listener",
            "!has(self.ports) || self.ports.all(a, "
            "self.ports.exists_one(b, b.listener == a.listener))",
            lambda self: unique(each.listener for each in self.ports),
        ),
        Rule(
            "serviceName",
            "serviceName is for Ingress and OpenShiftRoute; the other kinds make the Service",
            "!has(self.serviceName) || self.kind in ['Ingress', 'OpenShiftRoute']",
            lambda self: self.service_name is None or self.kind in ("Ingress", "OpenShiftRoute"),
        ),
    )


class Limits(Model):
    """Bounds on what a client may send."""

    max_request_headers_kib: Annotated[int, Field(ge=1, le=8192)] = 60
    max_headers: Annotated[int, Field(ge=1, le=32768)] = 100
    max_request_body_bytes: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = Field(
        default=None,
        description="413 above it. A body of unknown length is held until it is whole, except on "
        "realtime routes, of upgrades and of gRPC: those are bounded by flow control alone.",
    )
    max_concurrent_streams: Annotated[int, Field(ge=1, le=2_147_483_647)] = 100
    client_header_timeout: Duration = "10s"
    idle_timeout: Duration = "5m"


class AllowedServiceAccount(Model):
    """Pods of another namespace that may be nodes of the fleet, sidecars above all."""

    namespace: ObjectName
    name: ObjectName | None = Field(
        default=None, description="One ServiceAccount; any of the namespace when absent."
    )


class GatewayConfigSpec(Model):
    """The specification of a GatewayConfig."""

    listeners: Annotated[tuple[Listener, ...], Field(min_length=1, max_length=64)]
    mode: Literal["Gateway", "Sidecar"] = Field(
        default="Gateway",
        description="Sidecar: every Envoy runs in an application's pod, and only there an "
        "Upstream of type Sidecar is reached. It is not exposed.",
    )
    allowed_service_accounts: Annotated[
        tuple[AllowedServiceAccount, ...], Field(max_length=256)
    ] = Field(
        default=(),
        description="Pods of these ServiceAccounts may be nodes of the fleet, besides the pods "
        "of the GatewayConfig's own namespace.",
    )
    trusted_hops: Annotated[int, Field(ge=0, le=16)] = Field(
        default=0, description="Trusted proxies in front that append to x-forwarded-for."
    )
    api_keys: ApiKeySettings = ApiKeySettings()
    plans: Annotated[tuple[Plan, ...], Field(max_length=256)] = ()
    rate_limit_service: RateLimitService | None = Field(
        default=None, description="For limits and quotas with policy Redis."
    )
    cors: Cors | None = Field(default=None, description="For routes that set none of their own.")
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    logging: Logging = Logging()
    tracing: Tracing | None = None
    request_id: RequestId = RequestId()
    limits: Limits = Limits()
    extensions: Extensions = Field(
        default=Extensions(), description="Code and raw Envoy configuration in Plugins."
    )
    exposure: Exposure = Exposure()
    upstream_sockets: Annotated[tuple[AbsolutePath, ...], Field(max_length=16)] = Field(
        default=(),
        description="Folders, where Envoy runs, whose Unix sockets Upstreams may name; empty means "
        "none. Never one that holds a socket of Envoy itself.",
    )
    proxyless: bool = Field(
        default=False,
        description="Also serve gRPC clients that resolve xds:///host themselves. "
        "Routes with authentication or limits stay closed to them.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "mode",
            "a fleet of sidecars cannot be exposed",
            "self.mode == 'Gateway' || !has(self.exposure) || self.exposure.kind == 'None'",
            lambda self: self.mode == "Gateway" or self.exposure.kind == "None",
        ),
        unique_by("listeners", "two listeners have the same name", "name"),
        Rule(
            "listeners",
            "two listeners have the same address and port; only HTTPS listeners may share one",
            "self.listeners.all(a, a.protocol == 'HTTPS' || "
            "self.listeners.exists_one(b, b.port == a.port && b.address == a.address))",
            lambda self: bound_apart(self.listeners),
        ),
        unique_by("plans", "two plans have the same name", "name"),
    )


class GatewayConfig(Resource):
    """One fleet of Envoys."""

    plural: ClassVar[str] = "gatewayconfigs"
    short_names: ClassVar[tuple[str, ...]] = ("fgc",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Listeners", ".spec.listeners[*].name"),
        PrinterColumn("Ports", ".spec.listeners[*].port"),
        PrinterColumn("Exposure", ".spec.exposure.kind", "string", 1),
        PrinterColumn("Address", ".status.addresses[*].value", "string", 1),
    )
    kind: Literal["GatewayConfig"] = "GatewayConfig"
    spec: GatewayConfigSpec
