"""``/v2/config``: what all routes of a gateway share, and dry runs of any change."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate.api.v1alpha1.base import ObjectName
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.authentication import everything
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.use_cases.gateways import choose_gateway
from fluxgate_admin.v2.calls import Call, NamespaceQuery, WriteCall, reading, writing
from fluxgate_admin.v2.config_shapes import GlobalChanges, GlobalShape, global_spec, shown_global
from fluxgate_admin.v2.documented import answers, changes, responses
from fluxgate_admin.v2.rendering import shown_trial
from fluxgate_admin.v2.shapes import TrialShape
from fluxgate_admin.v2.single import NOT_MODIFIED, IfNoneMatch, change, read_answer
from fluxgate_admin.v2.validate_shapes import ValidateBody, drafts_of

GatewayQuery = Annotated[
    ObjectName | SkipJsonSchema[None],
    Query(description="Its name; not needed where there is only one."),
]
_READS = reading("configs:read")
_TRIES = reading("configs:read", everything)
_WRITES = writing("configs:admin")

router = APIRouter(prefix="/v2/config", tags=["config"], route_class=JsonRoute)


@router.get(
    "/global",
    operation_id="get_global_config",
    response_model=None,
    responses=responses(
        {
            200: answers(GlobalShape, "What is in force, defaults included.", etag=True),
            304: NOT_MODIFIED,
        },
        (404, 422),
    ),
)
async def get_global_config(
    call: Call = _READS,
    gateway: GatewayQuery = None,
    namespace: NamespaceQuery = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """TLS, CORS, structured logging, and the other settings that all routes of a gateway share."""
    ref = choose_gateway(call.api.catalogue, call.principal, gateway or "", namespace or "")
    shown = await call.api.objects.kept(call.principal, ref)
    return read_answer(shown, shown_global, if_none_match)


@router.patch(
    "/global",
    operation_id="update_global_config",
    response_model=None,
    responses=changes(GlobalShape, "What is in force"),
)
async def update_global_config(
    body: GlobalChanges,
    call: WriteCall = _WRITES,
    gateway: GatewayQuery = None,
    namespace: NamespaceQuery = None,
) -> Response:
    """Change settings of all routes: a JSON merge patch."""
    fields = body.model_dump(exclude_unset=True, by_alias=True)
    ref = choose_gateway(call.api.catalogue, call.principal, gateway or "", namespace or "")
    return await change(call, ref, lambda spec: global_spec(fields, spec), shown_global)


@router.post(
    "/validate",
    operation_id="validate_config",
    response_model=None,
    responses=responses({200: answers(TrialShape, "What was found.")}, (404, 413, 422)),
)
async def validate_config(body: ValidateBody, call: Call = _TRIES) -> Response:
    """Try changes, all together: schema, references, translation, the real Envoy; then whether each would be stored.

    Nothing is stored. Takes the read scope of every kind in the body; the scope for writing it where code would be
    tried, and for the last question.
    """
    report = await call.api.validation.run(call.principal, drafts_of(body, call))
    return json_answer(shown_trial(report))
