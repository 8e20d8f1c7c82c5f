"""Our objects in the cluster: found, applied and deleted, never anybody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fluxgate.resources import ObjectRef
from fluxgate_operator.exposure.marks import (
    MANAGER,
    SELECTOR,
    is_as_wanted,
    is_made_for,
    owner_of,
)
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import ConflictError, ForbiddenError, KubeApiError, NotFoundError
from fluxgate_operator.kube.types import INGRESSES, OPENSHIFT_ROUTES, OUR_TYPES, SERVICES, KubeType

TYPES: Mapping[str, KubeType] = {
    each.kind: each for each in (INGRESSES, OPENSHIFT_ROUTES, SERVICES)
}
"""In the order of deletion: what leads to a Service goes before it."""

GATEWAY_CONFIGS = next(each for each in OUR_TYPES if each.kind == "GatewayConfig")

_TOO_MANY, _SERVER = 429, 500

_NO_OPENSHIFT = "this cluster has no Route of route.openshift.io; choose another spec.exposure.kind"

Key = tuple[str, str]
"""Kind and name, within one namespace."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why an object is not as wanted. ``soon``: it will pass, so look again before long."""

    words: str
    soon: bool = False


@dataclass(slots=True)
class Found:
    """Our objects, by the GatewayConfig they were made for, and what could not be listed."""

    objects: dict[ObjectRef, dict[Key, Document]] = field(default_factory=dict)
    unknown: dict[tuple[str, str | None], Refused] = field(default_factory=dict)
    """By kind and namespace (None: all)."""

    def of(self, gateway: ObjectRef) -> dict[Key, Document]:
        """Those made for one GatewayConfig."""
        return self.objects.get(gateway, {})

    def refused(self, document: Document) -> Refused | None:
        """Why it is not known whether an object is there; None when it is."""
        kind, namespace = document["kind"], document["metadata"]["namespace"]
        return self.unknown.get((kind, namespace)) or self.unknown.get((kind, None))


class ExposedObjects:
    """Reads and writes the objects of exposures. Methods raise ``KubeError`` unless they say more."""

    def __init__(self, client: KubeClient, namespaces: tuple[str, ...]) -> None:
        self._client = client
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)

    async def find(self) -> Found:
        """All of ours, by their labels. A cluster without OpenShift has no Routes of that group.

        A kind that cannot be listed is told among the unknown, and is no matter of the others.
        """
        found = Found()
        for type_ in TYPES.values():
            for namespace in self._namespaces:
                try:
                    listing = await self._client.list(type_, namespace, label_selector=SELECTOR)
                except NotFoundError:
                    if type_ is OPENSHIFT_ROUTES:
                        found.unknown[type_.kind, namespace] = Refused(_NO_OPENSHIFT)
                except KubeApiError as error:
                    words = f"{type_.plural.capitalize()} are out of reach here: {error}"
                    found.unknown[type_.kind, namespace] = Refused(words, _passes(error))
                else:
                    _add(found, type_, listing.items)
        return found

    async def apply(self, wanted: Document, actual: Document | None) -> Document | Refused:
        """Make an object be as wanted; the object, or why it is not.

        Nothing is written when it is so already. ``actual`` is the one we know to be ours; without
        it the name has to be free. Ours is written with its resource version as a precondition,
        a new one without force: should another have been faster, that is a conflict.
        """
        type_ = TYPES[wanted["kind"]]
        meta = wanted["metadata"]
        shown = f"{type_.kind} {meta['namespace']}/{meta['name']}"
        if actual is not None and is_as_wanted(actual, wanted):
            return actual
        try:
            if actual is None:
                actual = await self._there(type_, wanted)
            if actual is None:
                return await self._apply(type_, wanted, force=False)
            if not is_made_for(actual, wanted):
                return Refused(
                    f"{shown} exists and was not made for this GatewayConfig, so it is left "
                    "alone; delete or rename it"
                )
            version = actual["metadata"]["resourceVersion"]
            body = {**wanted, "metadata": {**meta, "resourceVersion": version}}
            return await self._apply(type_, body, force=True)
        except NotFoundError:
            if type_ is OPENSHIFT_ROUTES and actual is None:
                return Refused(_NO_OPENSHIFT)
            return Refused(f"{shown} went away meanwhile; it will be made again", soon=True)
        except ConflictError as error:
            return Refused(f"{shown} was changed meanwhile: {error}", soon=True)
        except KubeApiError as error:
            return Refused(f"{shown} cannot be written: {error}", _passes(error))

    async def _apply(self, type_: KubeType, body: Document, *, force: bool) -> Document:
        return await self._client.apply(
            type_, body["metadata"]["namespace"], body, manager=MANAGER, force=force
        )

    async def _there(self, type_: KubeType, wanted: Document) -> Document | None:
        """What has the name already: it may be ours and have lost its labels."""
        meta = wanted["metadata"]
        try:
            there = await self._client.get(type_, meta["namespace"], meta["name"])
        except NotFoundError:
            return None
        return {**there, "apiVersion": type_.api_version, "kind": type_.kind}

    async def delete(self, documents: Iterable[Document]) -> tuple[str, ...]:
        """Delete these very objects (uid), what leads to a Service before the Service.

        Returns words about those that could not be deleted.
        """
        order = list(TYPES)
        problems = []
        for each in sorted(documents, key=lambda document: order.index(document["kind"])):
            meta = each["metadata"]
            try:
                await self._client.delete(
                    TYPES[each["kind"]], meta["namespace"], meta["name"], uid=meta["uid"]
                )
            except (NotFoundError, ConflictError):
                continue
            except KubeApiError as error:
                shown = f"{each['kind']} {meta['namespace']}/{meta['name']}"
                problems.append(f"{shown} is not wanted any more and cannot be deleted: {error}")
        return tuple(problems)

    async def is_gone(self, gateway: ObjectRef) -> bool:
        """Whether a GatewayConfig that the store does not hold is really not there.

        The store also lacks one that our models refuse, and that one's fleet is still reached.
        Who may not look does not know.
        """
        try:
            there = await self._client.get(GATEWAY_CONFIGS, gateway.namespace, gateway.name)
        except NotFoundError:
            return True
        except ForbiddenError:
            return False
        return bool(there["metadata"].get("deletionTimestamp"))


def _passes(error: KubeApiError) -> bool:
    """Whether the API server is only busy, or its storage of a kind not ready yet."""
    return error.code == _TOO_MANY or error.code >= _SERVER


def _add(found: Found, type_: KubeType, items: Iterable[Document]) -> None:
    for item in items:
        # the items of a list do not say their kind
        named = {**item, "apiVersion": type_.api_version, "kind": type_.kind}
        if (owner := owner_of(named)) is not None:
            key = type_.kind, named["metadata"]["name"]
            found.objects.setdefault(owner, {})[key] = named
