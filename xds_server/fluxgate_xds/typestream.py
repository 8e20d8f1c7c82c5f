"""What one stream knows about one resource type: asked for, held, on its way, refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NamedTuple

from fluxgate.ports import Nack
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate_xds.held import ABSENT, Holdings
from fluxgate_xds.ordering import rank
from fluxgate_xds.subscription import Subscription
from fluxgate_xds.views import Resources, View


@dataclass(frozen=True, slots=True)
class Response:
    """One message for the client, still without its wire form.

    ``resources`` is everything in the message. ``changed`` are those among them
    that are new to the client, ``removed`` the names the client loses by it
    (state of the world: by their absence).
    """

    type_url: str
    version: str
    nonce: str
    resources: tuple[SnapshotResource, ...]
    changed: Mapping[str, SnapshotResource]
    removed: tuple[str, ...] = ()
    whole: bool = False
    """Whether ``resources`` are all that the snapshot has of the type."""
    view: View | None = None
    """All of the resources, for a client that had none of them."""
    sent_at: float = 0.0


@dataclass(slots=True, eq=False)
class Refusal:
    """One rejected response: what was in it, and whether the snapshot still says the same.

    While it stands, nothing of it is tried again: Envoy's answer would be the same.
    When any part of it changes, all of it is tried again, since the client does
    not say which part was bad.
    """

    versions: Mapping[str, str]
    """Version by name; empty for a name that was to be removed."""
    stands: bool = True


class Unsure(NamedTuple):
    """A resource of a rejected response, which Envoy may have applied all the same."""

    resource: SnapshotResource
    refusal: Refusal


class Need(Enum):
    """What a name still needs so that the client has what the snapshot says."""

    NOTHING = auto()
    SEND = auto()
    SEND_OLD = auto()
    """What the client has and will lose, since it asks for it in the meantime."""
    SEND_FINAL = auto()
    REFUSED = auto()
    TELL_ABSENT = auto()
    REMOVE = auto()


@dataclass(slots=True)
class TypeStream:
    """The state of one type on one stream; :class:`~fluxgate_xds.session.Session` drives it."""

    type_url: str
    subscription: Subscription
    held: Holdings = field(default_factory=Holdings)
    unsure: dict[str, Unsure] = field(default_factory=dict)
    unremoved: dict[str, Refusal] = field(default_factory=dict)
    """Names whose removal was rejected."""
    bulk: View | None = None
    """All that the client asks for, while it has none of it; then ``todo`` is empty."""
    todo: set[str] = field(default_factory=set)
    """Names to look at; every other name is known to be as the snapshot says."""
    owed: set[str] = field(default_factory=set)
    """Names to send even when the client is believed to have them."""
    overtaken: bool = False
    """Whether the snapshot has changed since the response in flight was made."""
    superseded: bool = False
    """Whether a response was never answered, so that its nonce may still come back."""
    greet: bool = False
    """Whether the client waits for a first response, be it empty."""
    inflight: Response | None = None
    nonce: str = ""
    nack: Nack | None = None
    sent: str = ""
    acked: str = ""
    needs: dict[Need, list[str]] = field(default_factory=dict)
    """The names in ``todo`` by what they need, as :meth:`classify` last found them."""

    @property
    def rank(self) -> int:
        """Position in the order of additions."""
        return rank(self.type_url)

    @property
    def waiting(self) -> bool:
        """Whether anything is left to be said that is not on its way."""
        return bool(self.todo) or self.bulk is not None

    @property
    def untouched(self) -> bool:
        """Whether the client has and owes nothing, so that it needs all it asks for."""
        return not (
            self.held
            or self.todo
            or self.owed
            or self.unsure
            or self.unremoved
            or self.inflight is not None
        )

    def wanted(self, name: str, snapshot: Snapshot) -> SnapshotResource | None:
        """What the client shall have under ``name``."""
        resource = snapshot.of_type(self.type_url).get(name)
        return resource if resource and self.subscription.selects(resource) else None

    def has(self, name: str) -> bool:
        """Whether the client has acknowledged some version of ``name``."""
        return self.held.has(name)

    def refused(self, name: str) -> bool:
        """Whether the client has rejected what the snapshot says of ``name``."""
        unsure = self.unsure.get(name)
        return unsure is not None and unsure.refusal.stands

    def need(self, name: str, snapshot: Snapshot) -> Need:
        """What is left to do about ``name``."""
        wanted, have = self.wanted(name, snapshot), self.held.get(name)
        unsure = self.unsure.get(name)
        if wanted is None:
            if name in self.owed and not self.has(name):
                return Need.TELL_ABSENT
            asked = name in self.owed and name in self.subscription.names
            if asked and have is not None and have.resource is not None:
                return Need.SEND_OLD
            if unsure is not None or (have is not None and have is not ABSENT):
                refusal = self.unremoved.get(name)
                return Need.REFUSED if refusal is not None and refusal.stands else Need.REMOVE
            untold = name in self.subscription.names and have is None
            return Need.TELL_ABSENT if untold else Need.NOTHING
        if (
            unsure is not None
            and name not in self.owed
            and unsure.refusal.stands
            and unsure.resource.version == wanted.version
        ):
            return Need.REFUSED
        current = have is not None and have.version == wanted.version
        if current and unsure is None and name not in self.owed:
            return Need.NOTHING
        return Need.SEND_FINAL if wanted.final else Need.SEND

    def classify(self, snapshot: Snapshot) -> None:
        """Find out what every name in ``todo`` needs, and strike off what is done."""
        self.needs = {need: [] for need in Need}
        for name in sorted(self.todo) if self.todo else ():
            self.needs[self.need(name, snapshot)].append(name)
        self.todo.difference_update(self.needs[Need.NOTHING])

    def by_name(self) -> None:
        """Look at every name by itself from now on, where the whole was to be sent."""
        if self.bulk is not None:
            self.todo |= self.bulk.names
            self.bulk = None

    def share(self, view: View) -> None:
        """Hold ``view``, the snapshot's, by reference when the client has exactly that."""
        settled = not (self.waiting or self.inflight or self.unsure or self.unremoved or self.owed)
        if settled and self.held.base is not view and view.covers(self.subscription):
            self.held.rebase(view)

    def review(self, snapshot: Snapshot) -> None:
        """Withdraw the refusals that the new ``snapshot`` has made pointless."""
        entries = [each.refusal for each in self.unsure.values()]
        for refusal in dict.fromkeys([*entries, *self.unremoved.values()]):
            refusal.stands = refusal.stands and all(
                (wanted.version if (wanted := self.wanted(name, snapshot)) else "") == version
                for name, version in refusal.versions.items()
            )
        self.todo.update(self.unsure, self.unremoved)

    def refuse(self, response: Response, culprits: Collection[str]) -> None:
        """The client has rejected ``response`` because of ``culprits``; empty for unknown.

        The rest of it, which Envoy may have applied or not, is then tried again at once.
        """
        versions = {name: each.version for name, each in response.changed.items()}
        everything = {**dict.fromkeys(response.removed, ""), **versions}
        bad = set(culprits) or everything.keys()
        refusal = Refusal({name: everything[name] for name in bad})
        again = Refusal({}, stands=False)
        for name, resource in response.changed.items():
            if self.subscription.concerns(name):
                self.unsure[name] = Unsure(resource, refusal if name in bad else again)
        for name in response.removed:
            if name in bad:
                self.unremoved[name] = refusal

    def supersede(self) -> None:
        """Stop waiting for the answer to the response in flight: the client may have it or not."""
        response, self.inflight = self.inflight, None
        if response is None:
            return
        self.superseded = True
        self.todo.update(response.changed, response.removed)
        again = Refusal({}, stands=False)
        for name, resource in response.changed.items():
            if self.subscription.concerns(name):
                self.unsure[name] = Unsure(resource, again)
        for name in response.removed:
            held = self.held.get(name)
            if held is not None and held.resource is not None:
                self.unsure[name] = Unsure(held.resource, again)
            elif held is not None:
                self.owed.add(name)

    def upserts(self, snapshot: Snapshot) -> Resources:
        """The resources to add, final ones apart, by name."""
        if self.bulk is not None:
            return self.bulk.resources
        resources = snapshot.of_type(self.type_url)
        found = {name: resources[name] for name in self.needs[Need.SEND]}
        for name in self.needs[Need.SEND_OLD]:
            held = self.held.get(name)
            if held is not None and held.resource is not None:
                found[name] = held.resource
        return found

    def forget(self, name: str) -> None:
        """The client is no longer interested in ``name``, so it keeps nothing under it."""
        self.held.discard(name)
        self.unsure.pop(name, None)
        self.unremoved.pop(name, None)
        self.owed.discard(name)
        self.todo.discard(name)

    def possible(
        self, *, without_base: bool = False
    ) -> Iterator[tuple[str, SnapshotResource | None]]:
        """Everything the client may have at this moment, whatever it answers next."""
        yield from self.held.resources(without_base=without_base)
        for name, unsure in self.unsure.items():
            yield name, unsure.resource
        if self.inflight is not None:
            yield from self.inflight.changed.items()
