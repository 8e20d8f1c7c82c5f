"""Tenant: an organisation or project, the hosts it may use and the plan it is on."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import (
    Duration,
    Hostname,
    Model,
    ObjectName,
    PrinterColumn,
    Resource,
)
from fluxgate.api.v1alpha1.policy import CorsOrigin
from fluxgate.api.v1alpha1.rules import Rule, unique_by
from fluxgate.api.v1alpha1.windows import EXACT_WINDOWS, EXACT_WINDOWS_TEXT, is_exact_window


class Quota(Model):
    """How many requests a tenant may make in a longer window, on each gateway."""

    name: ObjectName
    limit: Annotated[int, Field(ge=1, le=4_294_967_295)] = Field(description="Requests a window.")
    window: Duration = Field(
        default="24h", description="720h for 30 days. Redis counts in windows of the calendar, UTC."
    )
    policy: Literal["Local", "Redis"] = Field(
        default="Local",
        description="Local: every Envoy counts by itself. Redis: all replicas together, exactly; "
        "needs spec.rateLimitService of the GatewayConfig.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "window",
            f"policy Redis counts windows of {EXACT_WINDOWS_TEXT}",
            "self.policy != 'Redis' || duration(self.window).getSeconds() in "
            f"{list(EXACT_WINDOWS)}",
            lambda self: self.policy != "Redis" or is_exact_window(self.window),
        ),
    )


class TenantSpec(Model):
    """The specification of a Tenant."""

    display_name: Annotated[str, StringConstraints(max_length=253)] = ""
    namespace: ObjectName | None = Field(
        default=None, description="The namespace its objects live in; its own when absent."
    )
    hosts: Annotated[tuple[Hostname, ...], Field(max_length=256)] = Field(
        default=(), description="Hosts its routes may claim; empty means any."
    )
    plan: ObjectName | None = None
    quotas: Annotated[tuple[Quota, ...], Field(max_length=32)] = Field(
        default=(), description="Besides those of its plan; one of the same name replaces it."
    )
    cors_origins: Annotated[tuple[CorsOrigin, ...], Field(max_length=64)] = Field(
        default=(), description="Origins that may write; any origin may read."
    )
    suspended: bool = False
    environment: Literal["Live", "Test"] = "Live"
    max_active_keys: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="How many unrevoked keys it may have, the oldest first; no bound when absent.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        unique_by("quotas", "two quotas have the same name", "name"),
    )


class Tenant(Resource):
    """An organisation or project."""

    plural: ClassVar[str] = "tenants"
    short_names: ClassVar[tuple[str, ...]] = ("fgt",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Plan", ".spec.plan"),
        PrinterColumn("Hosts", ".spec.hosts"),
        PrinterColumn("Suspended", ".spec.suspended", "boolean", 1),
    )
    kind: Literal["Tenant"] = "Tenant"
    spec: TenantSpec
