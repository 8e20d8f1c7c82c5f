"""Collectors of a GatewayConfig: where its spans and log records go."""

from __future__ import annotations

from fluxgate.api.v1alpha1 import GatewayConfigSpec
from fluxgate.api.v1alpha1.base import split_url
from fluxgate.ir import CollectorIR, LogExportIR, TracingIR
from fluxgate.resources import ObjectRef
from fluxgate.translator.clusters import ClusterSpec
from fluxgate.translator.destinations import url_cluster, url_pool


def tracing_of(spec: GatewayConfigSpec, owner: ObjectRef) -> TracingIR | None:
    """What ``spec.tracing`` asks for."""
    tracing = spec.tracing
    if tracing is None:
        return None
    return TracingIR(
        collector=_collector(tracing.endpoint, tracing.protocol, owner),
        service_name=tracing.service_name,
        sampling_percent=tracing.sampling_percent,
        follow_parent=tracing.parent == "Follow",
        resource=tuple(sorted(tracing.resource_attributes.items())),
    )


def log_export_of(spec: GatewayConfigSpec, owner: ObjectRef) -> LogExportIR | None:
    """What ``spec.logging.openTelemetry`` asks for."""
    export = spec.logging.open_telemetry
    if export is None:
        return None
    return LogExportIR(
        collector=_collector(export.endpoint, "GRPC", owner),
        service_name=export.service_name,
        resource=tuple(sorted(export.resource_attributes.items())),
    )


def collector_clusters(spec: GatewayConfigSpec, owner: ObjectRef) -> tuple[ClusterSpec, ...]:
    """The clusters of the collectors, which no route refers to; each once."""
    found = {}
    if spec.tracing is not None:
        made = _cluster(spec.tracing.endpoint, spec.tracing.protocol, owner)
        found[made.name] = made
    if spec.logging.open_telemetry is not None:
        made = _cluster(spec.logging.open_telemetry.endpoint, "GRPC", owner)
        found[made.name] = made
    return tuple(found.values())


def _cluster(url: str, protocol: str, owner: ObjectRef) -> ClusterSpec:
    spec = url_cluster(url, url_pool(url), owner)
    return spec.with_protocol("HTTP2") if protocol == "GRPC" else spec


def _collector(url: str, protocol: str, owner: ObjectRef) -> CollectorIR:
    scheme, host, port = split_url(url)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    posted = f"{scheme}://{authority}" if protocol == "HTTP" else ""
    return CollectorIR(_cluster(url, protocol, owner).name, authority, posted)
