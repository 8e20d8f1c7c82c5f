"""Backend: one service behind the gateway, as routes refer to it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fluxgate.api.v1alpha1.balancing import LoadBalancing, Sticky, TokenName
from fluxgate.api.v1alpha1.base import (
    AbsolutePath,
    HeaderName,
    HttpUrl,
    Line,
    Model,
    ObjectName,
    Port,
    PrinterColumn,
    Resource,
    Text,
    Weight,
)
from fluxgate.api.v1alpha1.connection import Connection, Dns, Protocol
from fluxgate.api.v1alpha1.health import HealthChecks
from fluxgate.api.v1alpha1.policy import BackendTLS, CircuitBreaker, Retry, Timeouts
from fluxgate.api.v1alpha1.rules import Rule, how_many


class ServiceRef(Model):
    """A Kubernetes Service of the same namespace."""

    name: ObjectName
    port: Port


class CanaryHeader(Model):
    """Requests with this header go to the canary; ``value`` empty means any value."""

    name: HeaderName
    value: Line = ""


class CanaryCookie(Model):
    """Requests with this cookie go to the canary; ``value`` empty means any value."""

    name: TokenName
    value: Line = ""


class Canary(Model):
    """A share of the backend's requests goes to another backend or upstream.

    Those with ``header`` or ``cookie`` go there whatever the weight is.
    """

    kind: Literal["Backend", "Upstream"] = "Upstream"
    name: ObjectName
    weight: Annotated[int, Field(ge=0, le=100)] = Field(description="Percent of the requests.")
    header: CanaryHeader | None = None
    cookie: CanaryCookie | None = None
    sticky: Sticky | None = Field(
        default=None, description="The same client stays with the backend, or with the canary."
    )


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
    load_balancing: LoadBalancing | None = Field(
        default=None, description="Instead of what the Upstream says."
    )
    health_checks: HealthChecks | None = Field(
        default=None, description="Instead of what the Upstream says."
    )
    health_check_path: AbsolutePath | None = Field(
        default=None, description="Short for an active HTTP check of this path."
    )
    connection: Connection | None = None
    dns: Dns | None = None
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
        Rule(
            "healthCheckPath",
            "write the path into healthChecks.active",
            "!has(self.healthCheckPath) || !has(self.healthChecks)",
            lambda self: self.health_check_path is None or self.health_checks is None,
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
