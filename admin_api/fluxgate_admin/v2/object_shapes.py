"""Objects of any kind as bodies have them: the document a user would write, and what is known of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_admin.http.context import RequestContext
from fluxgate_admin.ids import public_id
from fluxgate_admin.use_cases.batch_items import BatchOutcome, Entry
from fluxgate_admin.use_cases.documents import etag_of_document
from fluxgate_admin.use_cases.objects import Shown
from fluxgate_admin.v2.rendering import shown_conditions, shown_sync, shown_trial, timestamp
from fluxgate_admin.v2.route_shapes import Namespace
from fluxgate_admin.v2.shapes import (
    OPEN,
    UNTRIED,
    ConditionShape,
    DifferenceShape,
    LaggardShape,
    ProblemShape,
    StateWord,
    SyncWord,
    UntriedWord,
)
from fluxgate_admin.v2.spelling import STRICT

MOST = 500
"""Objects of one batch."""
Kind = Literal["GatewayConfig", "Route", "Backend", "Upstream", "Plugin", "ApiKey", "Tenant"]
Name = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]
Etag = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]

DOCUMENT_EXAMPLE = {
    "apiVersion": "gateway.fluxgate.io/v1alpha1",
    "kind": "Backend",
    "metadata": {"name": "pay", "namespace": "default"},
    "spec": {"url": "https://pay.example.com:8443"},
}


class MetadataBody(BaseModel):
    """What of its metadata an object is told by."""

    model_config = STRICT

    name: Name
    namespace: Namespace = "default"
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class DocumentBody(BaseModel):
    """An object as it stands in a YAML file; ``spec`` is the kind's, in its own spelling."""

    model_config = STRICT

    api_version: Literal["gateway.fluxgate.io/v1alpha1"] = Field(alias="apiVersion")
    kind: Kind
    metadata: MetadataBody
    spec: dict[str, Any] = Field(default_factory=dict)

    @property
    def ref(self) -> ObjectRef:
        """Whose document it is."""
        return ObjectRef(self.kind, self.metadata.namespace, self.metadata.name)

    def plain(self) -> dict[str, Any]:
        """As JSON has it, with the namespace it is in."""
        metadata = self.metadata.model_dump(exclude_none=True) | {
            "namespace": self.metadata.namespace
        }
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": metadata,
            "spec": self.spec,
        }


class PutItem(BaseModel):
    """An object that shall be as its document says."""

    model_config = STRICT

    document: DocumentBody = Field(examples=[DOCUMENT_EXAMPLE])
    etag: Etag | None = Field(
        default=None,
        description="Only if it is this version still; empty: only if it is not there.",
    )


class RefBody(BaseModel):
    """The identity of an object."""

    model_config = STRICT

    kind: Kind
    namespace: Namespace = "default"
    name: Name


class DeleteItem(BaseModel):
    """An object that shall not be there."""

    model_config = STRICT

    delete: RefBody
    etag: Etag | None = Field(default=None, description="Only if it is this version still.")


class BatchBody(BaseModel):
    """Objects to write and to delete, in any order: what others need is written first."""

    model_config = STRICT

    objects: Annotated[list[PutItem | DeleteItem], Field(min_length=1, max_length=MOST)] = Field(
        examples=[[{"document": DOCUMENT_EXAMPLE}]]
    )


class ObjectShape(BaseModel):
    """One object."""

    model_config = OPEN

    id: str = Field(examples=["be_9x4m2p1q7s3t5v6w"])
    kind: Kind
    namespace: str
    name: str
    status: StateWord
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    created_at: str | None
    etag: str
    managed_by: str | None = Field(
        description="What it is made from, if nobody wrote it: change that instead."
    )
    conditions: list[ConditionShape]
    document: dict[str, Any] = Field(examples=[DOCUMENT_EXAMPLE])


class ObjectPage(BaseModel):
    """A page of objects of one kind, by namespace and name."""

    model_config = OPEN

    data: list[ObjectShape]
    has_more: bool
    after: str | None = Field(description="The cursor of the next page.")


class ResultShape(BaseModel):
    """What became of one object of a batch."""

    model_config = OPEN

    id: str
    kind: Kind
    namespace: str
    name: str
    outcome: Literal["created", "updated", "deleted", "unchanged", "refused"]
    etag: str | None = None
    revision: int | None = Field(default=None, description="Its number in the history, if known.")
    error: str | None = Field(default=None, examples=["in_use"])
    message: str | None = None
    problems: list[ProblemShape] | None = None
    used_by: list[str] | None = None
    scope: str | None = None
    warnings: list[ProblemShape] | None = None


class BatchShape(BaseModel):
    """What became of a batch, in the order of its objects."""

    model_config = OPEN

    results: list[ResultShape]
    dry_run: bool
    sync_status: SyncWord
    sync_message: str | None = None
    pending_nodes: list[LaggardShape] | None = None
    hidden_nodes: int | None = None
    diff: DifferenceShape | None = Field(default=None, description="With dry_run.")
    checked_by_envoy: bool
    not_tried: UntriedWord | None = UNTRIED
    note: str | None = Field(description="What was not tried, and why.")
    warnings: list[ProblemShape] | None = Field(
        default=None, description="What is worth reading of all together."
    )


def shown_object(shown: Shown, document: Document) -> dict[str, Any]:
    """An object as lists and reads have it, with the document that is kept of it."""
    ref = shown.ref
    return {
        "id": shown.id,
        **_named(ref),
        "status": shown.known.state(ref),
        **shown_sync(shown.known.sync(ref)),
        "created_at": timestamp(shown.created_at),
        "etag": etag_of_document(document),
        "managed_by": str(ref.source) if ref.source is not None else None,
        "conditions": shown_conditions(shown.known.conditions(ref)),
        "document": document,
    }


def shown_batch(context: RequestContext, outcome: BatchOutcome) -> dict[str, Any]:
    """The answer to a batch; tells the audit log what was changed."""
    context.objects.extend(str(each.item.ref) for each in outcome.entries if each.changes)
    trial = shown_trial(outcome.report)
    doubts = [each.as_json() for each in outcome.report.doubts]
    return {
        "results": [_result(each) for each in outcome.entries],
        "dry_run": outcome.dry_run,
        **shown_sync(outcome.sync),
        **({"diff": trial["diff"]} if outcome.dry_run else {}),
        "checked_by_envoy": trial["checked_by_envoy"],
        "not_tried": trial["not_tried"],
        "note": trial["note"],
        **({"warnings": doubts} if doubts else {}),
    }


def _result(entry: Entry) -> dict[str, Any]:
    shown = {"id": public_id(entry.item.ref), **_named(entry.item.ref)}
    if entry.error is not None:
        return shown | {
            "outcome": "refused",
            "error": entry.error.error,
            "message": entry.error.message,
            **entry.error.details,
        }
    change = entry.change.value if entry.change is not None else "unchanged"
    shown["outcome"] = change
    if entry.stored is not None and entry.item.document is not None:
        shown["etag"] = etag_of_document(entry.stored.document)
    if entry.revision is not None:
        shown["revision"] = entry.revision
    if entry.warnings:
        shown["warnings"] = [each.as_json() for each in entry.warnings]
    return shown


def _named(ref: ObjectRef) -> dict[str, Any]:
    return {"kind": ref.kind, "namespace": ref.namespace, "name": ref.name}
