"""Whether a cluster serves what a catalogue says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import Route
from fluxgate.errors import ResourceError
from fluxgate_operator.catalog.document import Entry
from fluxgate_operator.catalog.reconcile import ROUTES
from fluxgate_operator.kube.client import Document, KubeClient

PROGRAMMED = "Programmed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One route of the catalogue: whether every Envoy serves it as the catalogue says."""

    name: str
    served: bool
    message: str


async def check(
    client: KubeClient, entries: Sequence[Entry], namespace: str
) -> tuple[Verdict, ...]:
    """A verdict for every entry. Raises ``KubeError`` when the Routes cannot be listed."""
    listing = await client.list(ROUTES, namespace)
    found = {each["metadata"]["name"]: each for each in listing.items}
    return tuple(verdict(each, found.get(each.name), namespace) for each in entries)


def verdict(entry: Entry, route: Document | None, namespace: str) -> Verdict:
    """Compare with the object there is, and read what its status says of *this* generation."""
    if route is None:
        return Verdict(entry.name, served=False, message="there is no such Route")
    different = _difference(entry, route, namespace)
    if different:
        return Verdict(entry.name, served=False, message=different)
    condition = _programmed(route)
    if condition is None:
        return Verdict(entry.name, served=False, message="no status for this generation yet")
    said = f"{condition.get('reason', '')}: {condition.get('message', '')}".rstrip(": ")
    return Verdict(entry.name, served=condition.get("status") == "True", message=said)


def _difference(entry: Entry, route: Document, namespace: str) -> str:
    """The names of the differing fields of the spec; defaults written out are no difference."""
    try:
        there = parse_object(
            {key: route[key] for key in ("apiVersion", "kind", "metadata", "spec")}
        )
    except ResourceError as error:
        return f"the Route in the cluster is not valid: {error}"
    wanted = parse_object(entry.as_route(namespace))
    assert isinstance(there, Route)
    assert isinstance(wanted, Route)
    fields = [
        field.alias or name
        for name, field in type(wanted.spec).model_fields.items()
        if getattr(wanted.spec, name) != getattr(there.spec, name)
    ]
    return f"differs from the catalogue in {', '.join(sorted(fields))}" if fields else ""


def _programmed(route: Document) -> Document | None:
    """The Programmed condition, unless it speaks of an older generation."""
    generation = route["metadata"].get("generation", 0)
    for each in (route.get("status") or {}).get("conditions", []):
        if each.get("type") == PROGRAMMED and each.get("observedGeneration", 0) >= generation:
            found: Document = each
            return found
    return None
