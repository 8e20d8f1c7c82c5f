"""The probe listener answers with the version, and reaches every worker."""

import http.client
import re
from contextlib import ExitStack, closing

import pytest
from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.config.route.v3 import route_pb2 as route_config_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from support.client import request
from support.envoy import EnvoyProcess, eventually, validate

from fluxgate.xds.names import PROBE_HEADER
from fluxgate.xds.probe import LISTENER_NAME, build_probe, build_probe_listener
from fluxgate.xds.proto import any_of

pytestmark = pytest.mark.envoy


def probe_bootstrap(version: str) -> bootstrap_v3.Bootstrap:
    """The probe's listener with its route table in place instead of by ADS."""
    bootstrap = bootstrap_v3.Bootstrap()
    listener = build_probe_listener("127.0.0.1", 0)
    chain_filter = listener.filter_chains[0].filters[0]
    manager = hcm_v3.HttpConnectionManager()
    chain_filter.typed_config.Unpack(manager)
    table = route_config_v3.RouteConfiguration.FromString(build_probe(version).payload)
    manager.route_config.CopyFrom(table)
    chain_filter.typed_config.CopyFrom(any_of(manager))
    bootstrap.static_resources.listeners.append(listener)
    return bootstrap


def test_the_probe_answers_any_request_with_the_version() -> None:
    with EnvoyProcess(probe_bootstrap("abc123")) as envoy:
        answer = request(envoy.port(LISTENER_NAME), "/anything", headers=[("host", "whatever")])
    assert (answer.status, answer.header(PROBE_HEADER)) == (200, "abc123")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_as_many_connections_as_workers_reach_every_worker(workers: int) -> None:
    with EnvoyProcess(probe_bootstrap("v"), concurrency=workers) as envoy, ExitStack() as stack:
        port = envoy.port(LISTENER_NAME)
        for _ in range(workers):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            stack.enter_context(closing(connection))
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.headers[PROBE_HEADER] == "v"
            answer.read()

        def active() -> list[int]:
            found = envoy.stats("^listener\\..*worker_[0-9]+\\.downstream_cx_active")
            return [
                value for name, value in found.items() if re.search(r"127\.0\.0\.1_\d+\.", name)
            ]

        eventually(lambda: active() == [1] * workers, what="one connection on every worker")


def test_the_probe_listener_is_valid_on_its_own() -> None:
    assert validate(probe_bootstrap("v")).ok
