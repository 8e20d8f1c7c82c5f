"""What the API has, as far as it matters for a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from fluxgate.api.v1alpha1 import KINDS
from fluxgate.ports.resources import Document
from fluxgate.resources import ObjectRef
from fluxgate_cli.admin_client.api import AdminApi
from fluxgate_cli.errors import RefusedError

ALL_KINDS = tuple(str(each.model_fields["kind"].default) for each in KINDS)
OBJECTS = "/v2/objects"


@dataclass(frozen=True, slots=True)
class Present:
    """One object of the API; ``etag`` is the version that was seen."""

    ref: ObjectRef
    document: Document
    etag: str


@dataclass(frozen=True, slots=True)
class Found:
    """Objects, and the kinds that this credential may not read."""

    objects: dict[ObjectRef, Present]
    unreadable: tuple[str, ...] = ()


def read_kinds(
    api: AdminApi, kinds: Collection[str], namespace: str | None, label: str | None
) -> Found:
    """Every object of these kinds, of one namespace or all, with a label or not."""
    objects: dict[ObjectRef, Present] = {}
    unreadable = []
    for kind in kinds:
        try:
            for each in _listed(api, kind, namespace, label):
                objects[each.ref] = each
        except RefusedError as error:
            if error.status != 403:
                raise
            unreadable.append(kind)
    return Found(objects, tuple(unreadable))


def read_for(api: AdminApi, wanted: Collection[ObjectRef], label: str | None) -> Found:
    """Those that ``wanted`` names, and all with the label of a set.

    Raises :class:`RefusedError` for a kind that is wanted and may not be read.
    """
    objects: dict[ObjectRef, Present] = {}
    for kind, namespace in sorted({(ref.kind, ref.namespace) for ref in wanted}):
        objects |= {each.ref: each for each in _listed(api, kind, namespace, None)}
    if label is None:
        return Found(objects)
    owned = read_kinds(api, ALL_KINDS, None, label)
    return Found(objects | owned.objects, owned.unreadable)


def _listed(
    api: AdminApi, kind: str, namespace: str | None, label: str | None
) -> Iterator[Present]:
    query = {"kind": kind, "namespace": namespace, "label": label}
    for each in api.pages(OBJECTS, query):
        if not each["managed_by"]:  # what is made from something else is changed there
            yield _present(each)


def _present(shown: dict[str, Any]) -> Present:
    ref = ObjectRef(shown["kind"], shown["namespace"], shown["name"])
    return Present(ref, shown["document"], shown["etag"])
