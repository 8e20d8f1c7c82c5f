"""An OpenAPI document as objects: a Backend for each origin, a Route for each path and group of its methods."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import API_VERSION
from fluxgate.errors import ResourceError
from fluxgate_cli.openapi.document import Json, Note, OpenApi
from fluxgate_cli.openapi.paths import joined, path_match, slug
from fluxgate_cli.openapi.security import EXTENSION, Guard, Scheme, guard_of, read_schemes
from fluxgate_cli.openapi.servers import Server, server_of

METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
_LONGEST_TEXT = 1024
_EXTENSION_KEYS = frozenset(("route", "plugins", "backend"))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the document does not say. ``name`` begins the objects' names; empty: from the title."""

    name: str = ""
    namespace: str | None = None
    upstream: str | None = None
    issuer: str | None = None
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Imported:
    """Documents by kind, in the order they are to be written, and what there is to say."""

    documents: tuple[dict[str, Any], ...]
    notes: tuple[Note, ...]
    invalid: int = 0
    """How many documents are no valid objects as they are."""


@dataclass(slots=True)
class _Operation:
    method: str
    place: str
    server: Server
    guard: Guard
    extra: dict[str, Any]
    text: str

    @property
    def group(self) -> str:
        """Operations of a path that differ in nothing but the method are one Route."""
        return json.dumps(
            [
                self.server.origin,
                self.server.base,
                self.guard.auth,
                self.guard.trouble,
                [each.name for each in self.guard.schemes],
                self.extra,
            ],
            sort_keys=True,
            default=str,
        )


@dataclass(slots=True)
class _Import:
    api: OpenApi
    wishes: Wishes
    name: str
    schemes: Mapping[str, Scheme]
    backends: dict[str, dict[str, Any]] = field(default_factory=dict)
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: list[dict[str, Any]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def run(self) -> None:
        root = self.api.root
        paths = root.get("paths")
        for path, node in (paths if isinstance(paths, Mapping) else {}).items():
            if path.startswith("/"):
                self._path(path, node)
        if root.get("webhooks"):
            self.api.note(
                "/webhooks", "are requests of the API's own, and go past the gateway", lost=False
            )
        if not self.routes:
            self.api.note("/paths", "holds no operation")

    def _path(self, path: str, node: object) -> None:
        place = f"/paths/{path.replace('~', '~0').replace('/', '~1')}"
        item = self.api.resolve(node, place)
        groups: dict[str, list[_Operation]] = {}
        for each in self._operations(item, place):
            groups.setdefault(each.group, []).append(each)
        for operations in groups.values():
            self._route(path, operations, alone=len(groups) == 1)

    def _operations(self, item: Json, place: str) -> Iterator[_Operation]:
        root = self.api.root
        for method in METHODS:
            operation = item.get(method)
            if not isinstance(operation, Mapping):
                continue
            here = f"{place}/{method}"
            servers = [
                (operation.get("servers"), f"{here}/servers"),
                (item.get("servers"), f"{place}/servers"),
                (root.get("servers"), "/servers"),
            ]
            security = operation.get("security", root.get("security"))
            yield _Operation(
                method.upper(),
                here,
                server_of(self.api, servers, self.wishes.upstream),
                guard_of(self.api, security, self.schemes, f"{here}/security"),
                self._extra([(root, ""), (item, place), (operation, here)]),
                str(operation.get("operationId") or operation.get("summary") or ""),
            )

    def _extra(self, nodes: list[tuple[Json, str]]) -> dict[str, Any]:
        """The extensions of root, path and operation: route fields of the inner win, plugins by their type."""
        route: dict[str, Any] = {}
        plugins: dict[str, dict[str, Any]] = {}
        for node, place in nodes:
            extension = node.get(EXTENSION)
            if extension is None:
                continue
            if not isinstance(extension, Mapping) or not _EXTENSION_KEYS.issuperset(extension):
                known = ", ".join(sorted(_EXTENSION_KEYS))
                self.api.note(f"{place}/{EXTENSION}", f"holds something else than {known}")
                continue
            route |= extension.get("route") or {}
            for each in extension.get("plugins") or ():
                plugins[str(each.get("type") or each.get("name"))] = dict(each)
        return {"route": route, "plugins": list(plugins.values())}

    def _route(self, path: str, operations: list[_Operation], *, alone: bool) -> None:
        first = operations[0]
        methods = [each.method for each in operations]
        spec: dict[str, Any] = (
            {"enabled": False} if first.guard.trouble or not first.server.origin else {}
        )
        spec |= {"hosts": list(self.wishes.hosts)} if self.wishes.hosts else {}
        spec["matches"] = [
            {"path": path_match(joined(first.server.base, path)), "methods": methods}
        ]
        if first.server.origin:
            spec["backends"] = [{"name": self._backend(first.server.origin)}]
        spec["auth"] = dict(first.guard.auth)
        if uses := [*self._policies(first.guard), *first.extra["plugins"]]:
            spec["plugins"] = uses
        if text := ", ".join(filter(None, (each.text for each in operations))):
            spec["description"] = text[:_LONGEST_TEXT]
        spec |= first.extra["route"]
        tail = slug(path, "root") if alone else slug(f"{path}-{'-'.join(methods)}")
        self.routes.append(self._object("Route", self._free(f"{self.name}-{tail}"), spec))

    def _backend(self, origin: str) -> str:
        known = self.backends.get(origin)
        if known is None:
            extension = self.api.root.get(EXTENSION)
            more = extension.get("backend") if isinstance(extension, Mapping) else None
            name = self.name if not self.backends else f"{self.name}-{len(self.backends) + 1}"
            known = self._object("Backend", name, {"url": origin, **(more or {})})
            self.backends[origin] = known
        return str(known["metadata"]["name"])

    def _policies(self, guard: Guard) -> Iterator[dict[str, Any]]:
        """The plugins that verify credentials, one for all schemes of a type that a Route takes together."""
        by_type: dict[str, list[Scheme]] = {}
        for each in guard.schemes:
            if each.policy is not None and not guard.trouble:
                by_type.setdefault(each.policy[0], []).append(each)
        for kind, schemes in by_type.items():
            name = slug("-".join((self.name, *(each.name for each in schemes))))
            if name not in self.plugins:
                config = _together([each.policy[1] for each in schemes if each.policy])
                self.plugins[name] = self._object("Plugin", name, {"type": kind, "config": config})
            yield {"name": name}

    def _object(self, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name}
        metadata |= {"namespace": self.wishes.namespace} if self.wishes.namespace else {}
        return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}

    def _free(self, name: str) -> str:
        found, number = name, 2
        while found in self.names:
            found, number = f"{name}-{number}", number + 1
        self.names.add(found)
        return found


def import_openapi(api: OpenApi, wishes: Wishes) -> Imported:
    """The objects of a document. What is not a valid object is told with its place and left in."""
    info = api.root.get("info")
    title = str(info.get("title") or "") if isinstance(info, Mapping) else ""
    made = _Import(api, wishes, slug(wishes.name or title), read_schemes(api, wishes.issuer))
    made.run()
    documents = (*made.backends.values(), *made.plugins.values(), *made.routes)
    invalid = 0
    for each in documents:
        try:
            parse_object(each)
        except ResourceError as error:
            invalid += 1
            for problem in error.problems:
                api.note(f"{each['kind']} {each['metadata']['name']}", str(problem))
    if made.routes:
        api.note("", "requests are not checked against parameters and schemas", lost=False)
    open_ones = sum(each["spec"]["auth"] == {"mode": "None"} for each in made.routes)
    if open_ones:
        api.note("", f"{open_ones} routes are open to everybody, as the document says", lost=False)
    return Imported(documents, tuple(api.notes), invalid)


def _together(configs: list[Mapping[str, Any]]) -> dict[str, Any]:
    """One config of several: lists of providers become one, each with a name of its own."""
    if len(configs) == 1:
        return dict(configs[0])
    merged: dict[str, Any] = {}
    for config in configs:
        merged |= {key: each for key, each in config.items() if key != "providers"}
    providers = [each for config in configs for each in config.get("providers") or ()]
    merged["providers"] = [
        {**each, "name": f"provider-{index}"} for index, each in enumerate(providers, start=1)
    ]
    return merged
