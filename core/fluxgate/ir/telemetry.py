"""Where spans and log records of one gateway go. Clusters by name, authorities as host:port."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CollectorIR:
    """A receiver of OTLP: over gRPC, or as HTTP POSTs when ``url`` (scheme, host, port) is set."""

    cluster: str
    authority: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class TracingIR:
    """Spans. ``follow_parent``: the flag of an incoming traceparent decides, else the percentage."""

    collector: CollectorIR
    service_name: str
    sampling_percent: float = 100
    follow_parent: bool = True
    resource: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class LogExportIR:
    """The access log as OTLP log records, over gRPC."""

    collector: CollectorIR
    service_name: str
    resource: tuple[tuple[str, str], ...] = ()
