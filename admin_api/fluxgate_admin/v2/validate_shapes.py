"""What ``POST /v2/config/validate`` takes, as drafts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.api.v1alpha1.base import ObjectName
from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.use_cases.documents import document_of, new_document, ref_of_document
from fluxgate_admin.use_cases.drafts import Draft
from fluxgate_admin.use_cases.gateways import choose_gateway
from fluxgate_admin.use_cases.pointers import Pointers, pointer
from fluxgate_admin.use_cases.validation import MakeDraft
from fluxgate_admin.v2.calls import Call
from fluxgate_admin.v2.config_shapes import GlobalChanges, global_spec
from fluxgate_admin.v2.finding_plugins import finder
from fluxgate_admin.v2.plugin_shapes import PluginBody, plugin_spec
from fluxgate_admin.v2.route_mapping import route_spec
from fluxgate_admin.v2.route_shapes import Namespace, RouteBody
from fluxgate_admin.v2.spelling import STRICT

Kind = Literal["GatewayConfig", "Route", "Backend", "Upstream", "Plugin", "ApiKey", "Tenant"]
_MOST = 500


class MetadataBody(BaseModel):
    """Of a document; what is not known here is kept."""

    model_config = STRICT | {"extra": "allow"}

    name: ObjectName
    namespace: Namespace | None = None


class DocumentBody(BaseModel):
    """An object as ``kubectl`` takes it; its spec is that of its kind."""

    model_config = STRICT

    apiVersion: Literal["gateway.fluxgate.io/v1alpha1"]  # noqa: N815 - Kubernetes' name
    kind: Kind
    metadata: MetadataBody
    spec: dict[str, Any]


class DeletionBody(BaseModel):
    """An object that goes."""

    model_config = STRICT

    kind: Kind
    namespace: Namespace | None = None
    name: ObjectName


class ValidateBody(BaseModel):
    """Changes, tried all together."""

    model_config = STRICT

    routes: Annotated[list[RouteBody], Field(max_length=_MOST)] | None = Field(
        default=None, description="As POST /v2/routes takes them."
    )
    plugins: Annotated[list[PluginBody], Field(max_length=_MOST)] | None = Field(
        default=None, description="As POST /v2/plugins takes them."
    )
    config: GlobalChanges | None = Field(
        default=None, description="As PATCH /v2/config/global takes it."
    )
    gateway: ObjectName | None = Field(
        default=None, description="Whose config; not needed where there is only one."
    )
    objects: Annotated[list[DocumentBody], Field(max_length=_MOST)] | None = Field(
        default=None, description="Objects of any kind, as kubectl takes them."
    )
    delete: Annotated[list[DeletionBody], Field(max_length=_MOST)] | None = None


def drafts_of(body: ValidateBody, call: Call) -> list[MakeDraft]:
    """One maker for each change, whose problems point into the whole body.

    Raises ``UnprocessableError`` when there is nothing to try.
    """
    makers: list[MakeDraft] = []
    for index, route in enumerate(body.routes or ()):
        makers.append(_placed(pointer("routes", index), _route(route, call)))
    for index, plugin in enumerate(body.plugins or ()):
        makers.append(_placed(pointer("plugins", index), _plugin(plugin, call)))
    if body.config is not None:
        makers.append(_placed("/config", _config(body.config, body.gateway or "", call)))
    for index, document in enumerate(body.objects or ()):
        makers.append(_placed(pointer("objects", index), _document(document, call)))
    for index, deletion in enumerate(body.delete or ()):
        makers.append(_placed(pointer("delete", index), _deletion(deletion, call)))
    if not makers:
        raise UnprocessableError(
            "Say what to try: routes, plugins, config, objects or delete.", error="invalid"
        )
    return makers


def _placed(place: str, make: MakeDraft) -> MakeDraft:
    def placed() -> Draft:
        try:
            draft = make()
        except UnprocessableError as error:
            raise _moved(error, place) from error
        return replace(draft, pointers=replace(draft.pointers, base=place))

    return placed


def _moved(error: UnprocessableError, place: str) -> UnprocessableError:
    problems = [
        {**each, "pointer": place + each.get("pointer", "")}
        for each in error.details.get("problems", [])
    ]
    return UnprocessableError(error.message, problems, error=error.error)


def _route(body: RouteBody, call: Call) -> MakeDraft:
    def make() -> Draft:
        fields = body.model_dump(exclude_unset=True, by_alias=True)
        ref = _ref(call, "Route", fields)
        spec, pointers = route_spec(fields, {}, finder(call, ref.namespace))
        return Draft(ref, new_document(ref, spec, fields.get("labels")), pointers)

    return make


def _plugin(body: PluginBody, call: Call) -> MakeDraft:
    def make() -> Draft:
        fields = body.model_dump(exclude_unset=True)
        ref = _ref(call, "Plugin", fields)
        spec, pointers = plugin_spec(fields, {})
        return Draft(ref, new_document(ref, spec, fields.get("labels")), pointers)

    return make


def _config(body: GlobalChanges, gateway: str, call: Call) -> MakeDraft:
    def make() -> Draft:
        ref = choose_gateway(call.api.catalogue, call.principal, gateway, "")
        current = call.api.objects.named(call.principal, ref).resource
        assert isinstance(current, GatewayConfig)
        document = document_of(current)
        fields = body.model_dump(exclude_unset=True, by_alias=True)
        spec, pointers = global_spec(fields, document["spec"])
        return Draft(ref, {**document, "spec": spec}, pointers)

    return make


def _document(body: DocumentBody, call: Call) -> MakeDraft:
    def make() -> Draft:
        document = body.model_dump(exclude_unset=True)
        ref = _ref(call, body.kind, document["metadata"])
        document["metadata"]["namespace"] = ref.namespace
        return Draft(ref_of_document(document), document, Pointers())

    return make


def _deletion(body: DeletionBody, call: Call) -> MakeDraft:
    def make() -> Draft:
        ref = _ref(call, body.kind, body.model_dump())
        call.api.objects.named(call.principal, ref)
        return Draft(ref, None)

    return make


def _ref(call: Call, kind: str, fields: Mapping[str, Any]) -> ObjectRef:
    return call.api.objects.place(call.principal, kind, fields["name"], fields.get("namespace"))
