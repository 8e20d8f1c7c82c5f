"""Routes as answers have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from fluxgate.api.v1alpha1 import Route
from fluxgate_admin.use_cases.drafts import Outcome
from fluxgate_admin.use_cases.objects import Shown
from fluxgate_admin.use_cases.pools import UpstreamHealth
from fluxgate_admin.v2.rendering import (
    shown_conditions,
    shown_sync,
    shown_warnings,
    timestamp,
)
from fluxgate_admin.v2.route_mapping import shown_spec
from fluxgate_admin.v2.route_shapes import MatchBody, RouteBody
from fluxgate_admin.v2.shapes import (
    OPEN,
    ConditionShape,
    LaggardShape,
    ProblemShape,
    StateWord,
    SyncWord,
    WriteShape,
)

CREATED_EXAMPLE = {
    "id": "rt_9x4m2p1q",
    "status": "active",
    "created_at": "2024-11-14T09:23:11Z",
    "sync_status": "propagated_to_all_nodes",
}


class RouteCreated(WriteShape):
    """The answer to a new route: four fields, and what there is to say when it is not served everywhere yet."""


class TargetHealthShape(BaseModel):
    """One target, as Envoys find it."""

    model_config = OPEN

    address: str = Field(examples=["192.0.2.7:8443"])
    health: Literal["Healthy", "Unhealthy", "PartlyHealthy", "NotChecked", "Unknown"]
    reasons: list[str]


class HealthShape(BaseModel):
    """The targets of everything a route sends to."""

    model_config = OPEN

    status: Literal["healthy", "degraded", "unhealthy", "not_checked", "unknown"]
    targets: list[TargetHealthShape]


class _RouteBase(BaseModel):
    """A route: what was written, and how it is."""

    model_config = OPEN

    id: str = Field(examples=["rt_9x4m2p1q"])
    status: StateWord
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    created_at: str | None = Field(description="None when nobody knows.")
    etag: str = Field(description="For If-Match.")
    managed_by: str | None = Field(
        description="What it is made from, if nobody wrote it: change that instead."
    )
    health: HealthShape
    conditions: list[ConditionShape]
    warnings: list[ProblemShape] | None = None


def _route_shape() -> dict[str, Any]:
    fields = {
        name: (info.annotation, info)
        for name, info in RouteBody.model_fields.items()
        if name not in ("match", "name", "namespace")
    }
    return fields | {
        "name": (str, ...),
        "namespace": (str, ...),
        "match": (MatchBody | Annotated[list[MatchBody], Field(min_length=1)], ...),
    }


if TYPE_CHECKING:

    class RouteShape(_RouteBase):
        """A route."""

else:
    RouteShape = create_model(
        "Route", __base__=_RouteBase, __doc__=_RouteBase.__doc__, **_route_shape()
    )


class RoutePage(BaseModel):
    """A page of routes, by namespace and name."""

    model_config = OPEN

    data: list[RouteShape]
    has_more: bool
    after: str | None = Field(description="The cursor of the next page, null on the last.")


def shown_route(shown: Shown, health: UpstreamHealth) -> dict[str, Any]:
    """A route as lists and reads have it."""
    ref, resource = shown.ref, shown.resource
    assert isinstance(resource, Route)
    labels = resource.metadata.labels
    return {
        "id": shown.id,
        "name": ref.name,
        "namespace": ref.namespace,
        "status": shown.known.state(ref),
        **shown_sync(shown.known.sync(ref)),
        "created_at": timestamp(shown.created_at),
        "etag": shown.etag,
        "managed_by": str(ref.source) if ref.source is not None else None,
        **shown_spec(resource),
        **({"labels": labels} if labels else {}),
        "health": {
            "status": health.status.value,
            "targets": [
                {
                    "address": each.address,
                    "health": each.health.value,
                    "reasons": list(each.reasons),
                }
                for each in health.targets
            ],
        },
        "conditions": shown_conditions(shown.known.conditions(ref)),
    }


def shown_created(public: str, status: str, outcome: Outcome) -> dict[str, Any]:
    """The answer to a new route."""
    created = outcome.stored.created_at if outcome.stored is not None else ""
    return {
        "id": public,
        "status": status,
        "created_at": timestamp(created),
        **shown_sync(outcome.sync),
        **shown_warnings(outcome.report),
    }
