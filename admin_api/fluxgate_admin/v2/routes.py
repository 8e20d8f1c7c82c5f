"""``/v2/routes``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate.api.v1alpha1 import Route
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
from fluxgate_admin.v2.finding_plugins import finder
from fluxgate_admin.v2.listing import ListCall, listing
from fluxgate_admin.v2.rendering import delete, shown_page, write_answer
from fluxgate_admin.v2.route_answers import (
    CREATED_EXAMPLE,
    RouteCreated,
    RoutePage,
    RouteShape,
    shown_created,
    shown_route,
)
from fluxgate_admin.v2.route_mapping import route_spec
from fluxgate_admin.v2.route_shapes import RouteBody, RouteChanges
from fluxgate_admin.v2.shapes import StateWord, TrialShape
from fluxgate_admin.v2.single import (
    NOT_MODIFIED,
    IfNoneMatch,
    change,
    id_or_name,
    read_answer,
    replace,
)

KIND = "Route"
_EXAMPLE = {
    "name": "payments-service-v2",
    "match": {"path": "/api/v2/payments/*", "methods": ["POST", "GET"]},
    "upstream": "https://pay.example.com:8443",
    "plugins": [{"id": "jwt_auth", "config": {"issuer": "https://auth.example.com"}}],
}
Id = Annotated[str, id_or_name("rt_9x4m2p1q")]
_READS = reading("routes:read")
_LISTS = listing("routes:read")
_WRITES = writing("routes:write")

router = APIRouter(prefix="/v2/routes", tags=["routes"], route_class=JsonRoute)


@router.get(
    "",
    operation_id="list_routes",
    response_model=None,
    responses=responses({200: answers(RoutePage, "A page of routes.")}, (422,)),
)
async def list_routes(
    call: ListCall = _LISTS,
    status: Annotated[StateWord | SkipJsonSchema[None], Query(description="Only these.")] = None,
) -> Response:
    """Every route the caller sees, with the health of what it sends to."""
    found = await call.objects(KIND, status or "")
    return json_answer(shown_page([_shown(call, each) for each in found.objects], found.cursor))


@router.post(
    "",
    operation_id="create_route",
    status_code=201,
    response_model=None,
    responses=responses(
        {
            200: answers(TrialShape, DRY_RUN),
            201: answers(
                RouteCreated,
                "Every node serves it, proven; or nobody waited.",
                CREATED_EXAMPLE,
                etag=True,
            ),
            202: answers(RouteCreated, NOT_YET),
        },
        WRITES,
    ),
)
async def create_route(
    body: Annotated[RouteBody, Body(examples=[_EXAMPLE])], call: WriteCall = _WRITES
) -> Response:
    """A new path, host or header based route. Answers when every node serves it."""
    fields = body.model_dump(exclude_unset=True, by_alias=True)
    objects = call.api.objects

    async def perform() -> Response:
        ref = objects.place(call.principal, KIND, fields["name"], fields.get("namespace"))
        spec, pointers = route_spec(fields, {}, finder(call, ref.namespace))
        labels = fields.get("labels") or {}
        outcome = await objects.create(call.principal, ref, spec, labels, pointers, call.options)
        public = public_id(ref)
        shown = objects.after_write(call.principal, outcome)
        state = shown.known.state(ref) if shown is not None else "pending"
        headers = {} if outcome.dry_run else {"location": f"/v2/routes/{public}"}
        answer = shown_created(public, state, outcome)
        return write_answer(call, outcome, answer, done=201, headers=headers)

    return await call.answer(perform)


@router.get(
    "/{id}",
    operation_id="get_route",
    response_model=None,
    responses=responses(
        {
            200: answers(RouteShape, "The route.", etag=True),
            304: NOT_MODIFIED,
        },
        READS,
    ),
)
async def get_route(
    id: Id,  # noqa: A002 - its name in the path
    call: Call = _READS,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """One route, with the health of what it sends to."""
    shown = await call.api.objects.get(call.principal, KIND, id)
    return read_answer(shown, lambda each: _shown(call, each), if_none_match)


@router.patch(
    "/{id}",
    operation_id="update_route",
    response_model=None,
    responses=changes(RouteShape, "The route as it is"),
)
async def update_route(
    id: Id,  # noqa: A002 - its name in the path
    body: RouteChanges,
    call: WriteCall = _WRITES,
) -> Response:
    """Change timeout, retries, circuit breaker, targets, or anything else: a JSON merge patch."""
    fields = body.model_dump(exclude_unset=True, by_alias=True)
    ref = call.api.objects.find(call.principal, KIND, id)
    find = finder(call, ref.namespace)

    def labels(before: Mapping[str, str]) -> Mapping[str, str]:
        return before if "labels" not in fields else {**(fields["labels"] or {})}

    return await change(
        call,
        ref,
        lambda spec: route_spec(fields, spec, find),
        lambda shown: _shown(call, shown),
        labels,
    )


@router.put(
    "/{id}",
    operation_id="replace_route",
    response_model=None,
    responses=changes(RouteShape, "The route as it is"),
)
async def replace_route(
    id: Id,  # noqa: A002 - its name in the path
    body: RouteBody,
    call: WriteCall = _WRITES,
) -> Response:
    """The whole route anew: what the body leaves out is as if it had never been said."""
    fields = body.model_dump(exclude_unset=True, by_alias=True)
    ref = call.api.objects.find(call.principal, KIND, id)
    find = finder(call, ref.namespace)
    return await replace(
        call,
        ref,
        fields,
        lambda: route_spec(fields, {}, find),
        lambda shown: _shown(call, shown),
    )


@router.delete(
    "/{id}",
    operation_id="delete_route",
    status_code=204,
    response_model=None,
    responses=deletes(),
)
async def delete_route(
    id: Id,  # noqa: A002 - its name in the path
    call: WriteCall = _WRITES,
    force: Force = False,
) -> Response:
    """Delete a route."""
    ref = call.api.objects.find(call.principal, KIND, id)
    return await delete(call, ref, public_id(ref), force=force)


def _shown(call: Call, shown: Shown) -> dict[str, Any]:
    route = shown.resource
    assert isinstance(route, Route)
    return shown_route(shown, call.api.pools.health(route))
