"""Connections to the targets of a pool: how names are resolved, and how long connections live."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fluxgate.api.v1alpha1.base import Duration, Model

Protocol = Literal["HTTP1", "HTTP2", "GRPC", "Auto"]
"""``Auto`` lets TLS choose between HTTP/2 and HTTP/1.1 (ALPN); without TLS it is HTTP/1.1."""


class Dns(Model):
    """How the names of targets are resolved."""

    discovery: Literal["Strict", "Logical"] = Field(
        default="Strict",
        description="Strict: every address of the answer is a target of its own. Logical: new "
        "connections go to the first address, and open ones stay; for large services behind one name.",
    )
    refresh: Duration = Field(
        default="5s", description="How often a name is resolved again, where no TTL is followed."
    )
    respect_ttl: bool = Field(default=True, description="Follow the TTL of the answer instead.")
    family: Literal["V4Preferred", "V6Preferred", "V4Only", "V6Only", "All"] = "V4Preferred"


class TcpKeepalive(Model):
    """Probes on connections that are silent; what is not set is the system's."""

    idle: Duration | None = Field(default=None, description="Silence before the first probe.")
    interval: Duration | None = None
    probes: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None, description="Unanswered probes after which the connection is closed."
    )


class Connection(Model):
    """Connections that the gateway keeps to a target."""

    idle_timeout: Duration | None = Field(
        default=None, description="Without a request for this long it is closed; 1h when not set."
    )
    max_duration: Duration | None = Field(
        default=None, description="No new request after this age; open ones end."
    )
    max_requests: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="No new request after so many of them."
    )
    tcp_keepalive: TcpKeepalive | None = None
