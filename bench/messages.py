"""What a route message costs to build and to serialise, by protobuf library.

    python -m bench.messages 2000

Compares the classes of ``xds-protos`` (protobuf's own, upb) with those of
``envoy-data-plane`` (betterproto2) on the same message.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.config.route.v3 import route_pb2 as route_configuration_v3
from envoy_data_plane.envoy.config.route import v3 as betterproto_v3


def upb_configuration(count: int) -> route_configuration_v3.RouteConfiguration:
    """A route table made of protobuf's own messages."""
    routes = [
        route_v3.Route(
            name=f"route/default/r{index}/0",
            match=route_v3.RouteMatch(path_separated_prefix=f"/api/v1/r{index}"),
            route=route_v3.RouteAction(cluster=f"upstream/default/u{index}"),
        )
        for index in range(count)
    ]
    host = route_v3.VirtualHost(name="*", domains=["*"], routes=routes)
    return route_configuration_v3.RouteConfiguration(name="routes", virtual_hosts=[host])


def betterproto_configuration(count: int) -> betterproto_v3.RouteConfiguration:
    """The same table made of betterproto2's dataclasses."""
    routes = [
        betterproto_v3.Route(
            name=f"route/default/r{index}/0",
            match=betterproto_v3.RouteMatch(path_separated_prefix=f"/api/v1/r{index}"),
            route=betterproto_v3.RouteAction(cluster=f"upstream/default/u{index}"),
        )
        for index in range(count)
    ]
    host = betterproto_v3.VirtualHost(name="*", domains=["*"], routes=routes)
    return betterproto_v3.RouteConfiguration(name="routes", virtual_hosts=[host])


def timed(make: Callable[[], object]) -> tuple[object, float]:
    """What ``make`` returns, and the CPU milliseconds it took."""
    started = time.process_time()
    made = make()
    return made, (time.process_time() - started) * 1000


def main() -> int:
    """Print one line a library; fail when the messages differ."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    ours, build = timed(lambda: upb_configuration(count))
    assert isinstance(ours, route_configuration_v3.RouteConfiguration)
    _, serialise = timed(lambda: ours.SerializeToString(deterministic=True))
    print(
        f"xds-protos:       build {build:8.1f} ms, serialise {serialise:8.1f} ms ({count} routes)"
    )
    theirs, build = timed(lambda: betterproto_configuration(count))
    assert isinstance(theirs, betterproto_v3.RouteConfiguration)
    other, serialise = timed(lambda: bytes(theirs))
    print(
        f"envoy-data-plane: build {build:8.1f} ms, serialise {serialise:8.1f} ms ({count} routes)"
    )
    assert isinstance(other, bytes)
    same = route_configuration_v3.RouteConfiguration.FromString(other) == ours
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
