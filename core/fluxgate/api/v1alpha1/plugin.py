"""Plugin: a typed policy, attached to the whole gateway, a tenant, a backend or a route."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import Model, ObjectName, PrinterColumn, Resource, Text


class TargetRef(Model):
    """What a plugin applies to. Routes may also name a plugin themselves."""

    kind: Literal["GatewayConfig", "Tenant", "Backend", "Route"]
    name: ObjectName


class PluginSpec(Model):
    """The specification of a Plugin; ``config`` has the model of its ``type``."""

    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)]
    config: dict[str, Any] = Field(
        default_factory=dict, description="The policy's settings; its model depends on the type."
    )
    targets: Annotated[tuple[TargetRef, ...], Field(max_length=256)] = Field(
        default=(), description="Empty means: only where a route names this plugin."
    )
    enabled: bool = True
    merge_strategy: Literal["Replace", "Append"] = Field(
        default="Replace",
        description="Append continues the next wider policy of the type: lists grow, "
        "values that are not set here are taken over.",
    )
    tenant: ObjectName | None = None
    description: Text = ""


class Plugin(Resource):
    """A typed policy that routes share."""

    plural: ClassVar[str] = "plugins"
    short_names: ClassVar[tuple[str, ...]] = ("fgp",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Type", ".spec.type"),
        PrinterColumn("Targets", ".spec.targets[*].name"),
        PrinterColumn("Enabled", ".spec.enabled", "boolean", 1),
    )
    kind: Literal["Plugin"] = "Plugin"
    spec: PluginSpec
