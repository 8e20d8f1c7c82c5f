"""What is different after a trial: objects, routes, Envoy's resources. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from fluxgate.api.canonical import canonical
from fluxgate.api.v1alpha1 import Resource
from fluxgate.difference import fresh
from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ports import Difference, EnvoyChange
from fluxgate.resources import ObjectRef, Resources
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.xds import typeurl
from fluxgate_operator.trial.workbench import Outcome

_NO_SNAPSHOT = Snapshot.of(())
_Host = tuple[str, str]
"""A route table's name, and a virtual host of it."""


@dataclass(frozen=True, slots=True)
class GatewayChange:
    """What of one gateway is new to Envoy: routes, and resources of every other type."""

    name: str
    gateway: Gateway
    snapshot: Snapshot
    routes: tuple[HTTPRoute, ...]
    resources: tuple[SnapshotResource, ...]


def gateway_changes(outcome: Outcome) -> Iterator[GatewayChange]:
    """The gateways that would give Envoy something it does not have."""
    for name, snapshot in outcome.after.snapshots.items():
        before = outcome.before.snapshots.get(name, _NO_SNAPSHOT)
        if snapshot is before:
            continue
        gateway = outcome.after.gateways[name]
        routes = _new_routes(outcome.before.gateways.get(name), gateway)
        resources = tuple(
            each
            for url in snapshot.resources
            if url != typeurl.ROUTE
            for each in _new_resources(before, snapshot, url)
        )
        if routes or resources:
            yield GatewayChange(name, gateway, snapshot, routes, resources)


def _new_resources(before: Snapshot, after: Snapshot, url: str) -> list[SnapshotResource]:
    old, new = before.of_type(url), after.of_type(url)
    if old is new:
        return []
    return [
        each
        for each in fresh(new.values(), old.values())
        if not each.final
        and ((known := old.get(each.name)) is None or known.version != each.version)
    ]


def _new_routes(before: Gateway | None, after: Gateway) -> tuple[HTTPRoute, ...]:
    """Routes that are not, with all they say, among those there were; each once."""
    known = {route.name: route for _, route in _differing(after, before)}
    found = {route.name: route for _, route in _differing(before, after)}
    return tuple(route for name, route in found.items() if known.get(name) != route)


def _differing(base: Gateway | None, other: Gateway | None) -> Iterator[tuple[_Host, HTTPRoute]]:
    """The routes of ``other`` that are not, as the very same objects, in ``base``."""
    hosts = _hosts(base)
    for host, routes in _hosts(other).items():
        known = hosts.get(host, ())
        if routes is not known:
            for route in fresh(routes, known):
                yield host, route


def _hosts(gateway: Gateway | None) -> dict[_Host, tuple[HTTPRoute, ...]]:
    tables = gateway.route_tables if gateway is not None else ()
    return {
        (table.name, host.host): host.routes for table in tables for host in table.virtual_hosts
    }


def difference(
    base: Resources, outcome: Outcome, objects: Mapping[ObjectRef, Resource | None]
) -> Difference:
    """All of it, for people and programs to read."""
    names = sorted(outcome.before.gateways.keys() | outcome.after.gateways.keys())
    return Difference(
        objects=object_diffs(base, objects),
        routes=tuple(each for name in names for each in _route_changes(name, outcome)),
        envoy=tuple(each for name in names for each in _resource_changes(name, outcome)),
    )


def _title(name: str, outcome: Outcome) -> str:
    """A gateway as its users know it, whatever its nodes ask for."""
    return (outcome.after.gateways.get(name) or outcome.before.gateways[name]).name


def _route_changes(name: str, outcome: Outcome) -> Iterator[EnvoyChange]:
    before, after = outcome.before.gateways.get(name), outcome.after.gateways.get(name)
    if before is after:
        return
    old, new = _by_name(_differing(after, before)), _by_name(_differing(before, after))
    moved = old.keys() ^ new.keys()
    there = _names(before) if moved else set()
    left = _names(after) if moved else set()
    for route in sorted(old.keys() | new.keys()):
        if route in old and route in new:
            change = "" if old[route] == new[route] else "changed"
        elif route in new:
            change = "changed" if route in there else "added"
        else:
            change = "changed" if route in left else "removed"
        if change:
            yield EnvoyChange(_title(name, outcome), "Route", route, change)


def _by_name(
    found: Iterable[tuple[_Host, HTTPRoute]],
) -> dict[str, dict[_Host, HTTPRoute]]:
    named: dict[str, dict[_Host, HTTPRoute]] = {}
    for host, route in found:
        named.setdefault(route.name, {})[host] = route
    return named


def _names(gateway: Gateway | None) -> set[str]:
    return {route.name for routes in _hosts(gateway).values() for route in routes}


def _resource_changes(name: str, outcome: Outcome) -> Iterator[EnvoyChange]:
    before = outcome.before.snapshots.get(name, _NO_SNAPSHOT)
    after = outcome.after.snapshots.get(name, _NO_SNAPSHOT)
    if before is after:
        return
    for url in dict.fromkeys((*before.resources, *after.resources)):
        old, new = before.of_type(url), after.of_type(url)
        if old is new:
            continue
        news = {each.name for each in _new_resources(before, after, url)}
        gone = (each for each in fresh(old.values(), new.values()) if not each.final)
        lost = {each.name for each in gone if each.name not in new}
        for each in sorted(news | lost):
            change = "removed" if each in lost else "changed" if each in old else "added"
            yield EnvoyChange(_title(name, outcome), typeurl.short(url), each, change)


def object_diffs(
    base: Resources, objects: Mapping[ObjectRef, Resource | None]
) -> tuple[tuple[ObjectRef, str], ...]:
    """A unified diff of YAML for every object that would say something else."""
    found = []
    for ref, after in objects.items():
        before = base.get(ref)
        old = _lines(before if isinstance(before, Resource) else None)
        text = "".join(
            difflib.unified_diff(
                old,
                _lines(after),
                f"{ref}" if old else "/dev/null",
                f"{ref}" if after is not None else "/dev/null",
            )
        )
        if text:
            found.append((ref, text))
    return tuple(found)


def _lines(obj: Resource | None) -> Sequence[str]:
    if obj is None:
        return ()
    written = canonical(obj.model_dump(mode="json", by_alias=True, exclude_unset=True))
    ordered = {name: _sorted(part) for name, part in written.items()}
    # libyaml's: a batch has hundreds of objects, and Python's takes a millisecond for each
    text: str = yaml.dump(
        ordered, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100
    )
    return text.splitlines(keepends=True)


def _sorted(value: object) -> object:
    """Keys of mappings sorted, at every level, so that only what says something else differs."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [_sorted(each) for each in value]
    return value
