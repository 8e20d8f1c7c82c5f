"""``/v2/objects``: objects of any kind as their YAML files have them, one by one and many at once.

What declarative tools need: ``fluxgate dump``, ``diff`` and ``apply`` are its first clients. The scope that an
operation takes is that of the kind (``backends:write``), so no single one stands in the OpenAPI.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from fluxgate.resources import ObjectRef
from fluxgate_admin.auth.scopes import ANY
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.authentication import everything, scope_of_kind
from fluxgate_admin.http.etags import quoted
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.ids import public_id
from fluxgate_admin.use_cases.batch_items import Item
from fluxgate_admin.use_cases.documents import etag_of_document
from fluxgate_admin.use_cases.pointers import Pointers
from fluxgate_admin.use_cases.ports import RevisionChange
from fluxgate_admin.use_cases.proof import SyncStatus
from fluxgate_admin.use_cases.scopes import READ, WRITE
from fluxgate_admin.v2.calls import Call, Force, WriteCall, reading, writing
from fluxgate_admin.v2.documented import NOT_YET, READS, WRITES, answers, deletes, responses
from fluxgate_admin.v2.listing import ListCall, listing
from fluxgate_admin.v2.object_shapes import (
    BatchBody,
    BatchShape,
    DeleteItem,
    DocumentBody,
    Kind,
    Name,
    ObjectPage,
    ObjectShape,
    PutItem,
    shown_batch,
    shown_object,
)
from fluxgate_admin.v2.rendering import (
    delete,
    shown_page,
    shown_sync,
    shown_warnings,
    timestamp,
    write_answer,
)
from fluxgate_admin.v2.route_shapes import Namespace
from fluxgate_admin.v2.shapes import TrialShape, WriteShape

KindPath = Annotated[Kind, Path(description="The kind, as documents spell it.")]
NamespacePath = Annotated[Namespace, Path(examples=["default"])]
NamePath = Annotated[Name, Path(examples=["pay"])]

_READS = reading(ANY, scope_of_kind(READ))
_LISTS = listing(ANY, scope_of_kind(READ))
_WRITES = writing(ANY, scope_of_kind(WRITE))
_WRITES_MANY = writing(ANY, everything)

router = APIRouter(prefix="/v2", tags=["objects"], route_class=JsonRoute)


@router.get(
    "/objects",
    operation_id="list_objects",
    response_model=None,
    responses=responses({200: answers(ObjectPage, "A page of objects of one kind.")}, (422,)),
)
async def list_objects(
    kind: Annotated[Kind, Query(description="The kind, as documents spell it.")],
    call: ListCall = _LISTS,
) -> Response:
    """Objects of one kind with their documents; takes the read scope of the kind."""
    found = await call.objects(kind)
    shown = [shown_object(each, await call.api.objects.document(each)) for each in found.objects]
    return json_answer(shown_page(shown, found.cursor))


@router.post(
    "/objects:apply",
    operation_id="apply_objects",
    response_model=None,
    responses=responses(
        {
            200: answers(BatchShape, "Every node serves what was written; or nobody waited."),
            202: answers(BatchShape, NOT_YET),
        },
        (409, 413),
    ),
)
async def apply_objects(
    body: BatchBody, call: WriteCall = _WRITES_MANY, force: Force = False
) -> Response:
    """Up to 500 objects in one write, each with an outcome of its own; takes the write scopes of their kinds.

    One that is refused never stops the others. All are tried together, and proven once at the end.
    """
    if call.options.if_match is not None:
        raise UnprocessableError(
            "If-Match: a batch has an `etag` for each of its objects.", error="invalid"
        )
    options = replace(call.options, force=force)

    async def perform() -> Response:
        items = [_item(each) for each in body.objects]
        outcome = await call.api.batches.apply(call.principal, items, options)
        proven = outcome.sync.status is SyncStatus.PROPAGATED
        unproven = outcome.sync.status is SyncStatus.REJECTED or (options.wait and not proven)
        status = 202 if unproven else 200
        return json_answer(shown_batch(call.context, outcome), status)

    return await call.answer(perform)


@router.get(
    "/objects/{kind}/{namespace}/{name}",
    operation_id="get_object",
    response_model=None,
    responses=responses({200: answers(ObjectShape, "The object.", etag=True)}, READS),
)
async def get_object(
    kind: KindPath, namespace: NamespacePath, name: NamePath, call: Call = _READS
) -> Response:
    """One object with its document; takes the read scope of the kind."""
    shown = call.api.objects.named(call.principal, ObjectRef(kind, namespace, name))
    document = await call.api.objects.document(shown)
    headers = {"etag": quoted(etag_of_document(document))}
    return json_answer(shown_object(shown, document), headers=headers)


@router.put(
    "/objects/{kind}/{namespace}/{name}",
    operation_id="put_object",
    response_model=None,
    responses=responses(
        {
            200: answers(WriteShape | TrialShape, "It is as the body says.", etag=True),
            201: answers(WriteShape, "It is there now.", etag=True),
            202: answers(WriteShape, NOT_YET),
        },
        WRITES,
    ),
)
async def put_object(
    kind: KindPath,
    namespace: NamespacePath,
    name: NamePath,
    body: DocumentBody,
    call: WriteCall = _WRITES,
) -> Response:
    """Make an object be what the document says, whether it is there or not; takes the write scope of the kind."""
    ref = ObjectRef(kind, namespace, name)
    if body.ref != ref:
        raise UnprocessableError(f"The path names {ref}, the body {body.ref}.", error="invalid")

    async def perform() -> Response:
        outcome = await call.api.objects.put(call.principal, body.plain(), Pointers(), call.options)
        shown = call.api.objects.after_write(call.principal, outcome)
        created = outcome.stored.created_at if outcome.stored is not None else ""
        answer = {
            "id": public_id(ref),
            "status": shown.known.state(ref) if shown is not None else "pending",
            "created_at": timestamp(created),
            **shown_sync(outcome.sync),
            **shown_warnings(outcome.report),
        }
        done = 201 if outcome.change is RevisionChange.CREATED else 200
        return write_answer(call, outcome, answer, done=done)

    return await call.answer(perform)


@router.delete(
    "/objects/{kind}/{namespace}/{name}",
    operation_id="delete_object",
    status_code=204,
    response_model=None,
    responses=deletes(),
)
async def delete_object(
    kind: KindPath,
    namespace: NamespacePath,
    name: NamePath,
    call: WriteCall = _WRITES,
    force: Force = False,
) -> Response:
    """Delete an object; takes the write scope of the kind."""
    ref = ObjectRef(kind, namespace, name)
    return await delete(call, ref, public_id(ref), force=force)


def _item(item: PutItem | DeleteItem) -> Item:
    if isinstance(item, PutItem):
        return Item(item.document.ref, item.document.plain(), item.etag)
    gone = item.delete
    return Item(ObjectRef(gone.kind, gone.namespace, gone.name), None, item.etag)
