"""Who may bring code and raw Envoy configuration to a fleet."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fluxgate.api.v1alpha1.base import Model
from fluxgate.api.v1alpha1.rules import Rule

ExtensionType = Literal["lua", "wasm", "envoy-patch"]
"""Types of policy that run code inside Envoy, or write its configuration."""


class Extensions(Model):
    """Types of policy that are off until the fleet's operator admits them.

    Code of a Plugin runs in the process that carries everybody's traffic. A policy of a type that is not
    admitted closes the routes that use it.
    """

    allow: Annotated[tuple[ExtensionType, ...], Field(max_length=3)] = Field(
        default=(), description="Admitted in Plugins and Routes that belong to no tenant."
    )
    allow_tenants: Annotated[tuple[ExtensionType, ...], Field(max_length=3)] = Field(
        default=(), description="Of those, admitted in what belongs to a tenant as well."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "allowTenants",
            "a type that tenants may use has to be in allow, too",
            "!has(self.allowTenants) || "
            "self.allowTenants.all(t, has(self.allow) && t in self.allow)",
            lambda self: set(self.allow_tenants) <= set(self.allow),
        ),
    )
