"""Plugins in bodies and in answers, and as the kind has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from fluxgate.api.v1alpha1 import Plugin, PluginSpec
from fluxgate.api.v1alpha1.base import ObjectName
from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate_admin.use_cases.merging import merge
from fluxgate_admin.use_cases.objects import Shown
from fluxgate_admin.use_cases.pointers import Pointers
from fluxgate_admin.v2.plugin_uses import read_config, type_named
from fluxgate_admin.v2.rendering import shown_conditions, shown_sync, timestamp
from fluxgate_admin.v2.route_shapes import Labels, Namespace
from fluxgate_admin.v2.shapes import (
    OPEN,
    ConditionShape,
    LaggardShape,
    ProblemShape,
    StateWord,
    SyncWord,
)
from fluxgate_admin.v2.spelling import STRICT, to_camel

_NOT_SPEC = ("name", "namespace", "labels", "type", "config")
_PLACES = {each.name: place for place, each in enumerate(POLICY_TYPES, start=1)}


class TargetRefBody(BaseModel):
    """What a plugin applies to."""

    model_config = STRICT

    kind: Literal["GatewayConfig", "Tenant", "Backend", "Route"]
    name: ObjectName


class PluginBody(BaseModel):
    """A whole plugin (POST, PUT)."""

    model_config = STRICT

    name: Annotated[ObjectName, Field(examples=["partner-limits"])]
    namespace: Namespace | None = Field(
        default=None,
        description="Where it is kept; the caller's own, or the server's default, when absent.",
    )
    type: Annotated[
        str,
        StringConstraints(pattern=r"^[a-z][a-z0-9_-]*$", max_length=63),
        Field(
            description="`rate_limit` and `rate-limit` are the same; GET /v2/plugins lists all.",
            examples=["rate_limit"],
        ),
    ]
    config: dict[str, Any] | None = Field(
        default=None,
        description="The settings of the type, in camelCase as its page has them, or in snake_case.",
    )
    targets: Annotated[list[TargetRefBody], Field(max_length=256)] | None = Field(
        default=None, description="Empty means: only where a route names this plugin."
    )
    enabled: bool | None = None
    merge_strategy: Literal["Replace", "Append"] | None = None
    tenant: ObjectName | None = None
    description: Annotated[str, StringConstraints(max_length=1024)] | None = None
    labels: Labels | None = None


class PluginShape(BaseModel):
    """A plugin: what was written, and how it is."""

    model_config = OPEN

    id: str = Field(examples=["pl_mfrggzdfmztwq2lk"])
    name: str
    namespace: str
    status: StateWord
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    created_at: str | None
    etag: str
    type: str
    position: int | None = Field(
        description="Its type's place in the order of execution; null for a type there is not."
    )
    config: dict[str, Any]
    targets: list[TargetRefBody]
    enabled: bool
    merge_strategy: Literal["Replace", "Append"]
    tenant: str | None
    description: str
    labels: dict[str, str]
    conditions: list[ConditionShape]
    warnings: list[ProblemShape] | None = None


class PluginTypeShape(BaseModel):
    """One type of plugin."""

    model_config = OPEN

    position: int
    type: str
    summary: str
    when_broken: Literal["closed", "left_out"] = Field(
        description="What becomes of a route whose plugin of this type is broken: it answers 503, or "
        "is served without it."
    )


class FilterShape(BaseModel):
    """One HTTP filter of every Envoy."""

    model_config = OPEN

    position: int
    name: str
    reason: str


class PluginPage(BaseModel):
    """A page of plugins, and the order in which their types run."""

    model_config = OPEN

    data: list[PluginShape]
    has_more: bool
    after: str | None = Field(description="The cursor of the next page, null on the last.")
    execution_order: list[PluginTypeShape]
    filters: list[FilterShape]


def plugin_spec(
    fields: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[dict[str, Any], Pointers]:
    """The spec that a body makes of the one there is, and where its parts come from."""
    origins = {"": "", "/spec": "", "/metadata/name": "/name", "/metadata": ""}
    patch = to_camel(PluginSpec, {k: v for k, v in fields.items() if k not in _NOT_SPEC})
    if "type" in fields:
        patch["type"] = type_named(fields["type"]) or fields["type"]
    spec = merge(dict(before), patch)
    assert isinstance(spec, dict)
    if "config" in fields:
        config = fields["config"] or {}
        spec["config"] = read_config(spec["type"], config, "/config", "/spec/config", origins)
    return spec, Pointers(origins, dict(fields))


def config_spec(
    config: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[dict[str, Any], Pointers]:
    """The spec with another config, which is a body by itself."""
    origins = {"/spec/config": ""}
    made = read_config(str(before.get("type")), config, "", "/spec/config", origins)
    return {**before, "config": made}, Pointers(origins, dict(config))


def shown_plugin(shown: Shown) -> dict[str, Any]:
    """A plugin as lists and reads have it."""
    ref, resource = shown.ref, shown.resource
    assert isinstance(resource, Plugin)
    spec = resource.spec
    return {
        "id": shown.id,
        "name": ref.name,
        "namespace": ref.namespace,
        "status": shown.known.state(ref),
        **shown_sync(shown.known.sync(ref)),
        "created_at": timestamp(shown.created_at),
        "etag": shown.etag,
        "type": spec.type,
        "position": _PLACES.get(spec.type),
        "config": spec.config,
        "targets": [{"kind": each.kind, "name": each.name} for each in spec.targets],
        "enabled": spec.enabled,
        "merge_strategy": spec.merge_strategy,
        "tenant": spec.tenant,
        "description": spec.description,
        "labels": resource.metadata.labels,
        "conditions": shown_conditions(shown.known.conditions(ref)),
    }


def execution_order() -> list[dict[str, Any]]:
    """Every type of plugin, in the order in which Envoy runs them."""
    return [
        {
            "position": place,
            "type": each.name,
            "summary": each.summary,
            "when_broken": "left_out" if each.harmless_without else "closed",
        }
        for place, each in enumerate(POLICY_TYPES, start=1)
    ]
