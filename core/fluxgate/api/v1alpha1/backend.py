"""Backend: one service behind the gateway, as routes refer to it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fluxgate.api.v1alpha1.base import (
    AbsolutePath,
    HttpUrl,
    Model,
    ObjectName,
    Port,
    PrinterColumn,
    Resource,
    Text,
    Weight,
)
from fluxgate.api.v1alpha1.policy import BackendTLS, CircuitBreaker, Retry, Timeouts
from fluxgate.api.v1alpha1.rules import Rule, how_many

Protocol = Literal["HTTP1", "HTTP2", "GRPC"]


class ServiceRef(Model):
    """A Kubernetes Service of the same namespace."""

    name: ObjectName
    port: Port


class Canary(Model):
    """A share of the backend's requests goes to another backend or upstream."""

    kind: Literal["Backend", "Upstream"] = "Upstream"
    name: ObjectName
    weight: Annotated[int, Field(ge=0, le=100)] = Field(description="Percent of the requests.")


class BackendSpec(Model):
    """The specification of a Backend: exactly one of ``url``, ``service`` and ``upstream``."""

    url: HttpUrl | None = None
    service: ServiceRef | None = None
    upstream: ObjectName | None = None
    protocol: Protocol = "HTTP1"
    weight: Weight = 1
    tls: BackendTLS | None = None
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    circuit_breaker: CircuitBreaker | None = None
    health_check_path: AbsolutePath | None = None
    canary: Canary | None = None
    tenant: ObjectName | None = None
    description: Text = ""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of url, service and upstream",
            "[has(self.url), has(self.service), has(self.upstream)].exists_one(given, given)",
            lambda self: how_many(self.url, self.service, self.upstream) == 1,
        ),
    )


class Backend(Resource):
    """A service behind the gateway."""

    plural: ClassVar[str] = "backends"
    short_names: ClassVar[tuple[str, ...]] = ("fgb",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("URL", ".spec.url"),
        PrinterColumn("Service", ".spec.service.name"),
        PrinterColumn("Upstream", ".spec.upstream"),
    )
    kind: Literal["Backend"] = "Backend"
    spec: BackendSpec
