"""Snapshots: everything one fleet of Envoys shall serve, serialised once.

A :class:`SnapshotResource` holds the deterministic bytes of its message; its version
is their hash, so equal content never causes a push. A :class:`Snapshot` groups
them by type URL and can say whether it is consistent: every resource that one
resource refers to is there. Only consistent snapshots are published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise, repeat
from operator import attrgetter
from types import MappingProxyType

from fluxgate.difference import fresh
from fluxgate.errors import InconsistentSnapshotError
from fluxgate.resources import ObjectRef
from fluxgate.xds import typeurl


def content_version(payload: bytes) -> str:
    """The version of a resource: 64 bits of the SHA-256 of its bytes, in hexadecimal."""
    return hashlib.sha256(payload).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SnapshotResource:
    """One xDS resource.

    ``payload`` is the serialised message without its ``Any``; ``references`` are the
    (type URL, name) pairs it cannot work without; ``origins`` the objects it was
    made from. ``on_demand`` keeps it out of wildcard subscriptions: only clients
    that ask for it by name get it (proxyless gRPC). ``final`` resources are sent
    after every other one is acknowledged and do not count in the snapshot's
    version: they carry it (the probe, :mod:`fluxgate.xds.probe`).
    """

    type_url: str
    name: str
    payload: bytes = field(repr=False)
    version: str
    references: frozenset[tuple[str, str]] = frozenset()
    origins: tuple[ObjectRef, ...] = ()
    on_demand: bool = False
    final: bool = False
    line: str = field(init=False, repr=False, compare=False)
    """What the resource adds to its type's version."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "line", f"{self.name} {self.version}\n")

    @classmethod
    def of(
        cls,
        type_url: str,
        name: str,
        payload: bytes,
        *,
        references: Iterable[tuple[str, str]] = (),
        origins: Iterable[ObjectRef] = (),
        on_demand: bool = False,
        final: bool = False,
    ) -> SnapshotResource:
        """Build a resource and hash its bytes."""
        return cls(
            type_url,
            name,
            payload,
            content_version(payload),
            frozenset(references),
            tuple(origins),
            on_demand,
            final,
        )


@dataclass(frozen=True, slots=True)
class ResourceSet:
    """All resources of one type, sorted by name, and what a snapshot computes from them.

    ``lasting_version`` leaves the ``final`` resources out.
    """

    resources: Mapping[str, SnapshotResource]
    version: str
    lasting_version: str

    @classmethod
    def of(
        cls, resources: Iterable[SnapshotResource], previous: ResourceSet | None = None
    ) -> ResourceSet:
        """Sort and hash ``resources``, or return ``previous`` when it holds these very objects.

        Raises ``ValueError`` on a duplicate name.
        """
        listed = list(resources)
        if previous is not None and _same_objects(listed, previous.resources):
            return previous
        listed.sort(key=_NAME)
        names = list(map(_NAME, listed))
        named = dict(zip(names, listed, strict=True))
        if len(named) < len(listed):
            twice = next(one for one, other in pairwise(names) if one == other)
            raise ValueError(f"two resources {listed[0].type_url} are named {twice!r}")
        return cls._of_sorted(named)

    def changed(self, made: Iterable[SnapshotResource], gone: Iterable[str]) -> ResourceSet:
        """This set with ``made`` in the place of what had their names, and without ``gone``.

        Equal resources change nothing; a set in which nothing changed is this very object.
        """
        named = dict(self.resources)
        for name in gone:
            named.pop(name, None)
        known = len(named)
        news = [each for each in made if named.get(each.name) != each]
        named.update((each.name, each) for each in news)
        if not news and len(named) == len(self.resources):
            return self
        if len(named) > known:
            named = {name: named[name] for name in sorted(named)}
        return self._of_sorted(named)

    @classmethod
    def _of_sorted(cls, named: dict[str, SnapshotResource]) -> ResourceSet:
        listed = list(named.values())
        lasting = [resource for resource in listed if not resource.final]
        version = _type_version(listed)
        return cls(
            MappingProxyType(named),
            version,
            version if len(lasting) == len(listed) else _type_version(lasting),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All resources of one gateway, by type URL and name (sorted), and their versions."""

    resources: Mapping[str, Mapping[str, SnapshotResource]]
    versions: Mapping[str, str]
    version: str

    @classmethod
    def of(cls, resources: Iterable[SnapshotResource]) -> Snapshot:
        """Group and hash ``resources``. Raises ``ValueError`` on a duplicate name."""
        by_type: dict[str, list[SnapshotResource]] = {}
        for resource in resources:
            by_type.setdefault(resource.type_url, []).append(resource)
        return cls.of_sets({url: ResourceSet.of(listed) for url, listed in by_type.items()})

    @classmethod
    def of_sets(cls, sets: Mapping[str, ResourceSet]) -> Snapshot:
        """The snapshot of sets made beforehand, by type URL; absent types are empty."""
        complete = {url: sets.get(url) or ResourceSet.of(()) for url in (*typeurl.ORDER, *sets)}
        digest = hashlib.sha256()
        for url, resources in complete.items():
            digest.update(f"{url} {resources.lasting_version}\n".encode())
        return cls(
            MappingProxyType({url: each.resources for url, each in complete.items()}),
            MappingProxyType({url: each.version for url, each in complete.items()}),
            digest.hexdigest()[:16],
        )

    def of_type(self, type_url: str) -> Mapping[str, SnapshotResource]:
        """The resources of one type; empty when there are none."""
        return self.resources.get(type_url, MappingProxyType({}))

    def problems(self) -> tuple[str, ...]:
        """Every reference that leads nowhere; empty when the snapshot is consistent."""
        if not self._dangling():
            return ()
        return tuple(
            f"{typeurl.short(resource.type_url)} {name!r} refers to "
            f"{typeurl.short(url)} {target!r}, which is not in the snapshot"
            for named in self.resources.values()
            for name, resource in named.items()
            for url, target in sorted(resource.references)
            if target not in self.resources.get(url, ())
        )

    def require_consistent(self, since: Snapshot | None = None) -> None:
        """Raise :class:`InconsistentSnapshotError` unless :meth:`problems` is empty.

        ``since`` is an earlier snapshot known to be consistent: then only the difference
        is looked at.
        """
        if since is not None and self._adds_to(since):
            return
        if problems := self.problems():
            raise InconsistentSnapshotError(problems)

    def _adds_to(self, since: Snapshot) -> bool:
        """Whether no name of ``since`` is missing and every reference new since then leads somewhere."""
        for url, named in self.resources.items():
            before = since.of_type(url)
            if named is before:
                continue
            if not before.keys() <= named.keys():
                return False
            for resource in fresh(named.values(), before.values()):
                known = before.get(resource.name)
                held = known.references if known is not None else frozenset()
                if held is not resource.references and not self._holds(resource.references - held):
                    return False
        return since.resources.keys() <= self.resources.keys()

    def _holds(self, references: Iterable[tuple[str, str]]) -> bool:
        return all(target in self.of_type(url) for url, target in references)

    def _dangling(self) -> bool:
        """Whether any reference leads nowhere; much cheaper than saying which."""
        held: set[tuple[str, str]] = set()
        for url, named in self.resources.items():
            held.update(zip(repeat(url), named, strict=False))
        return not all(
            held.issuperset(chain.from_iterable(map(_REFERENCES, named.values())))
            for named in self.resources.values()
        )


_NAME = attrgetter("name")
_REFERENCES = attrgetter("references")
_LINE = attrgetter("line")


def _same_objects(
    listed: Sequence[SnapshotResource], known: Mapping[str, SnapshotResource]
) -> bool:
    return len(listed) == len(known) and all(
        known.get(resource.name) is resource for resource in listed
    )


def _type_version(resources: Iterable[SnapshotResource]) -> str:
    lines = "".join(map(_LINE, resources))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]
