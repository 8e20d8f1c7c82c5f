"""Plugin: a typed policy, attached to the whole gateway, a tenant, a backend or a route."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import Model, ObjectName, Resource


class TargetRef(Model):
    """What a plugin applies to. Routes may also name a plugin themselves."""

    kind: Literal["GatewayConfig", "Tenant", "Backend", "Route"]
    name: ObjectName


class PluginSpec(Model):
    """The specification of a Plugin; ``config`` has the model of its ``type``."""

    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)]
    config: dict[str, Any] = Field(default_factory=dict)
    targets: Annotated[tuple[TargetRef, ...], Field(max_length=256)] = Field(
        default=(), description="Empty means: only where a route names this plugin."
    )
    enabled: bool = True
    merge_strategy: Literal["Replace", "Append"] = "Replace"
    tenant: ObjectName | None = None
    description: Annotated[str, StringConstraints(max_length=1024)] = ""


class Plugin(Resource):
    """A typed policy that routes share."""

    plural: ClassVar[str] = "plugins"
    short_names: ClassVar[tuple[str, ...]] = ("fgp",)
    kind: Literal["Plugin"] = "Plugin"
    spec: PluginSpec
