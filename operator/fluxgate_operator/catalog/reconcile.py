"""Routes in one namespace made to be what a catalogue says.

Only Routes with the owner's label are changed or deleted. A Route of the same name without
the label belongs to somebody else: it stays as it is and is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fluxgate_operator.catalog.document import OWNER_LABEL, Entry
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import ConflictError, KubeApiError, NotFoundError
from fluxgate_operator.kube.types import OUR_TYPES

ROUTES = next(each for each in OUR_TYPES if each.kind == "Route")
MANAGER = "fluxgate-catalog"
"""The field manager of what a catalogue sets; statuses are the controller's."""

AT_ONCE = 8


class Action(StrEnum):
    """What became of a route."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DELETED = "deleted"
    LEFT = "left"
    FOREIGN = "foreign"
    FAILED = "failed"

    @property
    def bad(self) -> bool:
        """Whether the cluster does not say what the catalogue says."""
        return self in (Action.FOREIGN, Action.FAILED)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One route, what was done, and why when that needs saying."""

    action: Action
    name: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class CatalogOwner:
    """Whose routes, and where. ``prune`` deletes owned routes the catalogue no longer has."""

    name: str
    namespace: str
    prune: bool = False
    dry_run: bool = False


async def reconcile(
    client: KubeClient, entries: Sequence[Entry], owner: CatalogOwner
) -> tuple[Outcome, ...]:
    """Create, update and delete until the owner's Routes are ``entries``; the order is by name.

    What the API server says about one route is that route's outcome. Raises ``KubeError``
    when the Routes cannot be listed, before anything is changed.
    """
    listing = await client.list(
        ROUTES, owner.namespace, label_selector=f"{OWNER_LABEL}={owner.name}"
    )
    owned = {each["metadata"]["name"]: each for each in listing.items}
    wanted = {each.name for each in entries}
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, work: Awaitable[Outcome]) -> Outcome:
        async with slots:
            try:
                return await work
            except KubeApiError as error:
                return Outcome(Action.FAILED, name, str(error))

    work = [
        one(each.name, _apply(client, each, owned.get(each.name), owner)) for each in entries
    ] + [one(name, _drop(client, owned[name], owner)) for name in owned.keys() - wanted]
    return tuple(sorted(await asyncio.gather(*work), key=lambda each: each.name))


async def _apply(
    client: KubeClient, entry: Entry, before: Document | None, owner: CatalogOwner
) -> Outcome:
    if before is None and await _exists(client, entry.name, owner):
        return Outcome(
            Action.FOREIGN,
            entry.name,
            f"exists without the label {OWNER_LABEL}={owner.name}; delete or label it, "
            "or rename the entry",
        )
    # Forced only over what is ours already. Should somebody create the object in this very
    # moment, fields that differ are a conflict and theirs stay.
    try:
        after = await client.apply(
            ROUTES,
            owner.namespace,
            entry.as_route(owner.namespace, owner.name),
            manager=MANAGER,
            force=before is not None,
            dry_run=owner.dry_run,
        )
    except ConflictError as error:
        return Outcome(Action.FOREIGN, entry.name, str(error))
    if before is None:
        return Outcome(Action.CREATED, entry.name)
    same = _said(before) == _said(after)
    return Outcome(Action.UNCHANGED if same else Action.UPDATED, entry.name)


async def _exists(client: KubeClient, name: str, owner: CatalogOwner) -> bool:
    try:
        await client.get(ROUTES, owner.namespace, name)
    except NotFoundError:
        return False
    return True


async def _drop(client: KubeClient, route: Document, owner: CatalogOwner) -> Outcome:
    meta = route["metadata"]
    if not owner.prune:
        return Outcome(Action.LEFT, meta["name"], "no longer in the catalogue; --prune deletes it")
    try:
        await client.delete(
            ROUTES, owner.namespace, meta["name"], uid=meta["uid"], dry_run=owner.dry_run
        )
    except NotFoundError:
        return Outcome(Action.DELETED, meta["name"], "was gone already")
    return Outcome(Action.DELETED, meta["name"])


def _said(route: Document) -> tuple[object, object, object]:
    """The part of a Route that a catalogue has a say in."""
    meta = route["metadata"]
    return route["spec"], meta.get("labels") or {}, meta.get("annotations") or {}
