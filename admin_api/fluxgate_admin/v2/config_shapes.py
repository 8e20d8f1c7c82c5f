"""The global configuration of a gateway in bodies and answers, and as its GatewayConfig has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import BaseModel, Field

from fluxgate.api.v1alpha1 import GatewayConfig, GatewayConfigSpec
from fluxgate.api.v1alpha1.base import ObjectName
from fluxgate.api.v1alpha1.gatewayconfig import Limits, RequestId
from fluxgate.api.v1alpha1.listener import ListenerTLS
from fluxgate.api.v1alpha1.policy import Cors, Retry, Timeouts
from fluxgate.api.v1alpha1.telemetry import Logging, Tracing
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.use_cases.merging import merge
from fluxgate_admin.use_cases.objects import Shown
from fluxgate_admin.use_cases.pointers import Pointers, pointer
from fluxgate_admin.v2.rendering import shown_conditions, shown_sync
from fluxgate_admin.v2.shapes import (
    OPEN,
    ConditionShape,
    LaggardShape,
    ProblemShape,
    StateWord,
    SyncWord,
)
from fluxgate_admin.v2.spelling import STRICT, patch_model, to_camel

if TYPE_CHECKING:
    TlsBody: TypeAlias = dict[str, Any]
    CorsBody: TypeAlias = dict[str, Any]
    LoggingBody: TypeAlias = dict[str, Any]
    TracingBody: TypeAlias = dict[str, Any]
    TimeoutsBody: TypeAlias = dict[str, Any]
    RetryBody: TypeAlias = dict[str, Any]
    LimitsBody: TypeAlias = dict[str, Any]
    RequestIdBody: TypeAlias = dict[str, Any]
else:
    TlsBody = patch_model(ListenerTLS)
    CorsBody = patch_model(Cors)
    LoggingBody = patch_model(Logging)
    TracingBody = patch_model(Tracing)
    TimeoutsBody = patch_model(Timeouts)
    RetryBody = patch_model(Retry)
    LimitsBody = patch_model(Limits)
    RequestIdBody = patch_model(RequestId)

FIELDS = ("cors", "logging", "tracing", "timeouts", "retry", "limits", "request_id")


class GlobalFields(BaseModel):
    """What all routes of a gateway share."""

    model_config = STRICT

    tls: dict[ObjectName, TlsBody | None] | None = Field(
        default=None, description="How TLS is terminated, by the name of the listener."
    )
    cors: CorsBody | None = Field(
        default=None, description="For routes that set none of their own."
    )
    logging: LoggingBody | None = Field(default=None, description="The structured access log.")
    tracing: TracingBody | None = None
    timeouts: TimeoutsBody | None = None
    retry: RetryBody | None = None
    limits: LimitsBody | None = None
    request_id: RequestIdBody | None = None


class GlobalChanges(GlobalFields):
    """What changes (PATCH): objects merge, lists are replaced, null takes away."""


class ListenerShape(BaseModel):
    """Where the gateway is reached."""

    model_config = OPEN

    name: str
    address: str
    port: int
    protocol: str
    hostnames: list[str]


class GlobalShape(GlobalFields):
    """The configuration in force, defaults included."""

    model_config = OPEN

    id: str = Field(examples=["gw_mfrggzdfmztwq2lk"])
    gateway: str
    namespace: str
    status: StateWord
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    etag: str
    listeners: list[ListenerShape]
    conditions: Annotated[list[ConditionShape], Field(description="Of the GatewayConfig.")]
    warnings: list[ProblemShape] | None = None


def global_spec(
    fields: Mapping[str, Any], before: Mapping[str, Any]
) -> tuple[dict[str, Any], Pointers]:
    """The spec that a PATCH makes of the one there is, and where its parts come from."""
    origins = {"": "", "/spec": ""}
    own = {key: value for key, value in fields.items() if key in FIELDS}
    spec = merge(dict(before), to_camel(GatewayConfigSpec, own))
    assert isinstance(spec, dict)
    if fields.get("tls") is not None:
        spec["listeners"] = _listeners(fields["tls"], before, origins)
    return spec, Pointers(origins, dict(fields))


def _listeners(
    tls: Mapping[str, Any], before: Mapping[str, Any], origins: dict[str, str]
) -> list[dict[str, Any]]:
    listeners = [dict(each) for each in before.get("listeners") or ()]
    places = {str(each.get("name")): index for index, each in enumerate(listeners)}
    for name, part in tls.items():
        if name not in places:
            raise _no_listener(name, sorted(places))
        index = places[name]
        origins[f"/spec/listeners/{index}/tls"] = pointer("tls", name)
        changed = merge(listeners[index], {"tls": to_camel(ListenerTLS, part)})
        assert isinstance(changed, dict)
        listeners[index] = changed
    return listeners


def _no_listener(name: str, known: list[str]) -> UnprocessableError:
    place = pointer("tls", name)
    message = f"there is no listener {name!r}; known: {', '.join(known) or 'none'}"
    problem = {"pointer": place, "message": message, "reason": "Invalid", "source": "schema"}
    return UnprocessableError(f"{place}: {message}", [problem], error="invalid")


def shown_global(shown: Shown) -> dict[str, Any]:
    """A GatewayConfig as reads have it: what is in force, not only what was written."""
    ref, resource = shown.ref, shown.resource
    assert isinstance(resource, GatewayConfig)
    spec: dict[str, Any] = resource.spec.model_dump(mode="json", by_alias=False)
    return {
        "id": shown.id,
        "gateway": ref.name,
        "namespace": ref.namespace,
        "status": shown.known.state(ref),
        **shown_sync(shown.known.sync(ref)),
        "etag": shown.etag,
        "listeners": [
            {
                "name": each.name,
                "address": each.address,
                "port": each.port,
                "protocol": each.protocol,
                "hostnames": list(each.hostnames),
            }
            for each in resource.spec.listeners
        ],
        "tls": {each["name"]: each["tls"] for each in spec["listeners"]},
        **{name: spec[name] for name in FIELDS},
        "conditions": shown_conditions(shown.known.conditions(ref)),
    }
