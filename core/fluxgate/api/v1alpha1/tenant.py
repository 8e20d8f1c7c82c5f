"""Tenant: an organisation or project, the hosts it may use and the plan it is on."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import Duration, Hostname, Model, ObjectName, Resource
from fluxgate.api.v1alpha1.policy import CorsOrigin


class Quota(Model):
    """How much of something a tenant may use in a longer window."""

    name: ObjectName
    limit: Annotated[int, Field(ge=0)]
    window: Duration = "24h"


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
    quotas: Annotated[tuple[Quota, ...], Field(max_length=32)] = ()
    cors_origins: Annotated[tuple[CorsOrigin, ...], Field(max_length=64)] = Field(
        default=(), description="Origins that may write; any origin may read."
    )
    suspended: bool = False
    environment: Literal["Live", "Test"] = "Live"


class Tenant(Resource):
    """An organisation or project."""

    plural: ClassVar[str] = "tenants"
    short_names: ClassVar[tuple[str, ...]] = ("fgt",)
    kind: Literal["Tenant"] = "Tenant"
    spec: TenantSpec
