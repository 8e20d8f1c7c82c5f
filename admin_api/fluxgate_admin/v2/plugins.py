"""``/v2/plugins``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from fluxgate.api.v1alpha1 import Plugin
from fluxgate.xds.httpfilters import ORDER
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.ids import public_id
from fluxgate_admin.use_cases.objects import Shown
from fluxgate_admin.v2.calls import Call, Force, WriteCall, reading, writing
from fluxgate_admin.v2.documented import (
    DRY_RUN,
    NOT_YET,
    READS,
    WRITES,
    answers,
    changes,
    deletes,
    responses,
)
from fluxgate_admin.v2.listing import ListCall, listing
from fluxgate_admin.v2.plugin_shapes import (
    PluginBody,
    PluginPage,
    PluginShape,
    config_spec,
    execution_order,
    plugin_spec,
    shown_plugin,
)
from fluxgate_admin.v2.rendering import delete, shown_page
from fluxgate_admin.v2.shapes import TrialShape
from fluxgate_admin.v2.single import (
    NOT_MODIFIED,
    IfNoneMatch,
    change,
    changed_answer,
    id_or_name,
    read_answer,
    replace,
)

KIND = "Plugin"
Id = Annotated[str, id_or_name("pl_mfrggzdfmztwq2lk")]
_READS = reading("plugins:read")
_LISTS = listing("plugins:read")
_WRITES = writing("plugins:write")

router = APIRouter(prefix="/v2/plugins", tags=["plugins"], route_class=JsonRoute)


@router.get(
    "",
    operation_id="list_plugins",
    response_model=None,
    responses=responses({200: answers(PluginPage, "Plugins, and the order of execution.")}, (422,)),
)
async def list_plugins(
    call: ListCall = _LISTS,
) -> Response:
    """Every plugin the caller sees, every type there is, and the order in which Envoy runs them."""
    found = await call.objects(KIND)
    return json_answer(
        {
            **shown_page([shown_plugin(each) for each in found.objects], found.cursor),
            "execution_order": execution_order(),
            "filters": [
                {"position": index, "name": place.filter.name, "reason": place.reason}
                for index, place in enumerate(ORDER, start=1)
            ],
        }
    )


@router.post(
    "",
    operation_id="create_plugin",
    status_code=201,
    response_model=None,
    responses=responses(
        {
            200: answers(TrialShape, DRY_RUN),
            201: answers(PluginShape, "Every node has it, proven; or nobody waited.", etag=True),
            202: answers(PluginShape, NOT_YET),
        },
        WRITES,
    ),
)
async def create_plugin(body: PluginBody, call: WriteCall = _WRITES) -> Response:
    """A policy that several routes share, or that is attached to a tenant, a backend, or the gateway."""
    fields = body.model_dump(exclude_unset=True)
    objects = call.api.objects

    async def perform() -> Response:
        ref = objects.place(call.principal, KIND, fields["name"], fields.get("namespace"))
        spec, pointers = plugin_spec(fields, {})
        labels = fields.get("labels") or {}
        outcome = await objects.create(call.principal, ref, spec, labels, pointers, call.options)
        headers = {"location": f"/v2/plugins/{public_id(ref)}"}
        return changed_answer(call, outcome, shown_plugin, done=201, headers=headers)

    return await call.answer(perform)


@router.get(
    "/{id}",
    operation_id="get_plugin",
    response_model=None,
    responses=responses(
        {200: answers(PluginShape, "The plugin.", etag=True), 304: NOT_MODIFIED}, READS
    ),
)
async def get_plugin(
    id: Id,  # noqa: A002 - its name in the path
    call: Call = _READS,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One plugin."""
    shown = await call.api.objects.get(call.principal, KIND, id)
    return read_answer(shown, shown_plugin, if_none_match)


@router.put(
    "/{id}",
    operation_id="replace_plugin",
    response_model=None,
    responses=changes(PluginShape, "The plugin as it is"),
)
async def replace_plugin(
    id: Id,  # noqa: A002 - its name in the path
    body: PluginBody,
    call: WriteCall = _WRITES,
) -> Response:
    """The whole plugin anew."""
    fields = body.model_dump(exclude_unset=True)
    ref = call.api.objects.find(call.principal, KIND, id)
    return await replace(call, ref, fields, lambda: plugin_spec(fields, {}), shown_plugin)


@router.put(
    "/{id}/config",
    operation_id="configure_plugin",
    response_model=None,
    responses=changes(PluginShape, "The plugin as it is"),
)
async def configure_plugin(
    id: Id,  # noqa: A002 - its name in the path
    body: Annotated[
        dict[str, Any],
        Body(
            description="The whole config, in camelCase as the page of its type has it, or in snake_case.",
            examples=[{"requests": 120, "window": "1m"}],
        ),
    ],
    call: WriteCall = _WRITES,
) -> Response:
    """Other rules for rate limiting, JWT validation, request transformation, or whatever the type is."""
    ref = call.api.objects.find(call.principal, KIND, id)
    return await change(call, ref, lambda spec: config_spec(body, spec), shown_plugin)


@router.get(
    "/{id}/config",
    operation_id="get_plugin_config",
    response_model=None,
    responses=responses(
        {200: answers(dict[str, Any], "The config.", etag=True), 304: NOT_MODIFIED}, READS
    ),
)
async def get_plugin_config(
    id: Id,  # noqa: A002 - its name in the path
    call: Call = _READS,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The config alone, as PUT takes it."""
    shown = await call.api.objects.get(call.principal, KIND, id)
    return read_answer(shown, _config, if_none_match)


@router.delete(
    "/{id}",
    operation_id="delete_plugin",
    status_code=204,
    response_model=None,
    responses=deletes(),
)
async def delete_plugin(
    id: Id,  # noqa: A002 - its name in the path
    call: WriteCall = _WRITES,
    force: Force = False,
) -> Response:
    """Delete a plugin. Routes that name it stand in the way, unless forced."""
    ref = call.api.objects.find(call.principal, KIND, id)
    return await delete(call, ref, public_id(ref), force=force)


def _config(shown: Shown) -> dict[str, Any]:
    assert isinstance(shown.resource, Plugin)
    config: Mapping[str, Any] = shown.resource.spec.config
    return dict(config)
