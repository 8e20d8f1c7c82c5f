"""What a route message costs to build and to serialise, by protobuf library.

    python -m bench.messages 2000

Compares the classes of ``xds-protos`` (protobuf's own, upb) with those of
``envoy-data-plane`` (betterproto2) on the same message.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.config.route.v3 import route_pb2 as route_configuration_v3
from envoy_data_plane.envoy.config.route import v3 as betterproto_v3


def configuration(parts: Any, whole: Any, count: int) -> Any:
    """A table of ``count`` routes; both libraries name classes and fields alike."""
    routes = [
        parts.Route(
            name=f"route/default/r{index}/0",
            match=parts.RouteMatch(path_separated_prefix=f"/api/v1/r{index}"),
            route=parts.RouteAction(cluster=f"upstream/default/u{index}"),
        )
        for index in range(count)
    ]
    host = parts.VirtualHost(name="*", domains=["*"], routes=routes)
    return whole.RouteConfiguration(name="routes", virtual_hosts=[host])


def timed(make: Callable[[], Any]) -> tuple[Any, float]:
    """What ``make`` returns, and the CPU milliseconds it took."""
    started = time.process_time()
    made = make()
    return made, (time.process_time() - started) * 1000


def main() -> int:
    """Print one line a library; fail when the messages differ."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    ours, build = timed(lambda: configuration(route_v3, route_configuration_v3, count))
    _, serialise = timed(lambda: ours.SerializeToString(deterministic=True))
    print(
        f"xds-protos:       build {build:8.1f} ms, serialise {serialise:8.1f} ms ({count} routes)"
    )
    theirs, build = timed(lambda: configuration(betterproto_v3, betterproto_v3, count))
    other, serialise = timed(lambda: bytes(theirs))
    print(
        f"envoy-data-plane: build {build:8.1f} ms, serialise {serialise:8.1f} ms ({count} routes)"
    )
    same = route_configuration_v3.RouteConfiguration.FromString(other) == ours
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
