"""A real Envoy that takes route tables from files, one per listener, and says who answered."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.config.route.v3 import route_pb2 as route_configuration_v3
from envoy.service.discovery.v3 import discovery_pb2 as discovery_v3
from property.routing_tables.strategies import Sent
from support.envoy import EnvoyProcess, eventually

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.snapshot import SnapshotResource

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"


class NameOfRoute:
    """A filter that only has a hook for routes: the answer carries the route's name."""

    name = "test.name-of-route"

    def http_filter(self, gateway: Gateway) -> None:
        return None

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        message.response_headers_to_add.add().header.key = "x-route"
        message.response_headers_to_add[0].header.value = route.name

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        return ()


class RoutingGateway:
    """One Envoy with a listener for each encoding in ``listeners``."""

    def __init__(self, listeners: tuple[str, ...]) -> None:
        self._listeners = listeners
        self._versions = itertools.count(1)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="routes-")))
            for name in self._listeners:
                self._write(name, route_configuration_v3.RouteConfiguration(name="table"), "0")
            bootstrap = {
                "node": {"id": "routing", "cluster": "tests"},
                "static_resources": {"listeners": list(map(self._listener, self._listeners))},
            }
            self._envoy = stack.enter_context(EnvoyProcess(bootstrap))
            self._ports = {name: self._envoy.port(name) for name in self._listeners}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def load(self, payloads: Mapping[str, bytes]) -> None:
        """Serve these tables, and return when every listener does."""
        version = str(next(self._versions))
        for name, payload in payloads.items():
            message = route_configuration_v3.RouteConfiguration.FromString(payload)
            beacon = message.virtual_hosts.add(name="beacon", domains=[f"v{version}.beacon.test"])
            beacon.routes.add(name="beacon").match.prefix = "/"
            beacon.routes[0].direct_response.status = 204
            self._write(name, message, version)
        probe = Sent("GET", f"v{version}.beacon.test", "/", "", ())
        for name in payloads:
            eventually(lambda name=name: self._serves(name, probe), what=f"table on {name}")

    def _serves(self, name: str, probe: Sent) -> bool:
        if sum(self._envoy.stats("rds.*update_rejected").values()):
            raise AssertionError(f"Envoy rejects a table: {self._envoy.log[-2000:]}")
        return self.ask(name, [probe])[0][0] == 204

    def ask(self, listener: str, requests: Iterable[Sent]) -> list[tuple[int, str]]:
        """Status and route name for each request, sent one after the other over one connection."""
        found = []
        address = ("127.0.0.1", self._ports[listener])
        with socket.create_connection(address, timeout=60) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as answers:
                for sent in requests:
                    connection.sendall(_request_bytes(sent))
                    found.append(_read_answer(answers, sent.method))
        return found

    def _write(
        self, name: str, message: route_configuration_v3.RouteConfiguration, version: str
    ) -> None:
        response = discovery_v3.DiscoveryResponse(version_info=version)
        response.resources.add().Pack(message)
        fresh = self._folder / f"{name}.new"
        fresh.write_bytes(response.SerializeToString())
        fresh.rename(self._folder / f"{name}.pb")

    def _listener(self, name: str) -> dict[str, object]:
        manager = {
            "@type": f"{_HCM}.HttpConnectionManager",
            "stat_prefix": name,
            "normalize_path": True,
            "merge_slashes": True,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "strip_any_host_port": True,
            "rds": {
                "route_config_name": "table",
                "config_source": {
                    "path_config_source": {"path": str(self._folder / f"{name}.pb")},
                    "resource_api_version": "V3",
                },
            },
            "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
        }
        return {
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }


def _request_bytes(sent: Sent) -> bytes:
    lines = [f"{sent.method} {sent.target} HTTP/1.1", f"host: {sent.host}"]
    lines += [f"{name}: {value}" for name, value in sent.headers]
    return "\r\n".join([*lines, "", ""]).encode()


def _read_answer(answers: BufferedReader, method: str) -> tuple[int, str]:
    status = int(answers.readline().split()[1])
    headers: dict[str, str] = {}
    while (line := answers.readline().strip()) != b"":
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if method != "HEAD":
        answers.read(int(headers.get("content-length", "0")))
    return status, headers.get("x-route", "")
