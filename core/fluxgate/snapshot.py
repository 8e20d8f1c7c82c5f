"""Snapshots: everything one fleet of Envoys shall serve, serialised once.

A :class:`SnapshotResource` holds the deterministic bytes of its message; its version
is their hash, so equal content never causes a push. A :class:`Snapshot` groups
them by type URL and can say whether it is consistent: every resource that one
resource refers to is there. Only consistent snapshots are published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

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
class Snapshot:
    """All resources of one gateway, by type URL and name (sorted), and their versions."""

    resources: Mapping[str, Mapping[str, SnapshotResource]]
    versions: Mapping[str, str]
    version: str

    @classmethod
    def of(cls, resources: Iterable[SnapshotResource]) -> Snapshot:
        """Group and hash ``resources``. Raises ``ValueError`` on a duplicate name."""
        by_type: dict[str, dict[str, SnapshotResource]] = {url: {} for url in typeurl.ORDER}
        for resource in resources:
            named = by_type.setdefault(resource.type_url, {})
            if resource.name in named:
                raise ValueError(f"two resources {resource.type_url} are named {resource.name!r}")
            named[resource.name] = resource
        ordered = {
            url: MappingProxyType(dict(sorted(named.items()))) for url, named in by_type.items()
        }
        versions = {url: _type_version(named.values()) for url, named in ordered.items()}
        digest = hashlib.sha256()
        for url, sorted_resources in ordered.items():
            lasting = (each for each in sorted_resources.values() if not each.final)
            digest.update(f"{url} {_type_version(lasting)}\n".encode())
        return cls(MappingProxyType(ordered), MappingProxyType(versions), digest.hexdigest()[:16])

    def of_type(self, type_url: str) -> Mapping[str, SnapshotResource]:
        """The resources of one type; empty when there are none."""
        return self.resources.get(type_url, MappingProxyType({}))

    def problems(self) -> tuple[str, ...]:
        """Every reference that leads nowhere; empty when the snapshot is consistent."""
        return tuple(
            f"{typeurl.short(resource.type_url)} {name!r} refers to "
            f"{typeurl.short(url)} {target!r}, which is not in the snapshot"
            for named in self.resources.values()
            for name, resource in named.items()
            for url, target in sorted(resource.references)
            if target not in self.resources.get(url, ())
        )

    def require_consistent(self) -> None:
        """Raise :class:`InconsistentSnapshotError` unless :meth:`problems` is empty."""
        if problems := self.problems():
            raise InconsistentSnapshotError(problems)


def _type_version(resources: Iterable[SnapshotResource]) -> str:
    digest = hashlib.sha256()
    for resource in resources:
        digest.update(f"{resource.name} {resource.version}\n".encode())
    return digest.hexdigest()[:16]
