"""Bounds on answers: from configs to the IR, and what a route tells Envoy."""

from __future__ import annotations

import pytest
from envoy.config.route.v3 import route_components_pb2 as route_v3
from unit.translator.world import World, edge, obj, route

from fluxgate.ir.policies.response_size import ResponseLimit
from fluxgate.xds import names
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.httpfilters.body_limit import BodyLimitFilter
from fluxgate.xds.httpfilters.header_mutation import HeaderMutation
from fluxgate.xds.httpfilters.transform import Transform
from fluxgate.xds.typeurl import LISTENER


def limit(most: object, **more: object) -> dict:
    return {"type": "response-size", "config": {"maxBytes": most}, **more}


def everywhere(most: int) -> object:
    targets = [{"kind": "GatewayConfig", "name": "edge"}]
    return obj("Plugin", "everywhere", limit(most, targets=targets))


def patched(*plugins: dict) -> route_v3.Route:
    """The route as the filters that know bodies leave it."""
    found = World(edge(), route(plugins=list(plugins))).route
    message = route_v3.Route()
    for each in (BodyLimitFilter(), Transform(), HeaderMutation()):
        each.patch_route(found, message)
    return message


def test_a_route_has_the_bound_of_its_plugin() -> None:
    assert World(edge(), route(plugins=[limit(10)])).route.policy(ResponseLimit) == ResponseLimit(
        10
    )
    assert World(edge(), route()).route.policy(ResponseLimit) is None


def test_a_nearer_bound_replaces_that_of_the_gateway() -> None:
    assert World(edge(), everywhere(10), route()).route.policy(ResponseLimit) == ResponseLimit(10)
    own = route(plugins=[limit(99)])
    assert World(edge(), everywhere(10), own).route.policy(ResponseLimit) == ResponseLimit(99)


def test_a_realtime_route_has_none() -> None:
    world = World(edge(), everywhere(10), route(plugins=[limit(99)], realtime=True))
    assert world.route.policy(ResponseLimit) is None
    assert world.verdict("Route", "r") == (True, "Accepted")


@pytest.mark.parametrize("most", [-1, 2**32, "1k", None])
def test_a_bound_that_is_none_is_named(most: object) -> None:
    world = World(edge(), route(plugins=[limit(most)]))
    assert world.verdict("Route", "r") == (False, "Invalid")
    assert "spec.plugins[0].config.maxBytes" in world.message("Route", "r")


@pytest.mark.parametrize(
    ("request_size", "response_size", "transform", "held"),
    [(None, 10, None, 11), (50, 10, None, 51), (10, 50, None, 51), (10, 20, 30, 31), (1, 40, 30, 41)],
)  # fmt: skip
def test_a_route_may_hold_what_the_largest_of_its_policies_needs(
    request_size: int | None, response_size: int, transform: int | None, held: int
) -> None:
    uses = [limit(response_size)]
    if request_size is not None:
        uses.append({"type": "request-size", "config": {"maxBytes": request_size}})
    if transform is not None:
        body = {"remove": ["a"], "maxBytes": transform}
        uses.append({"type": "response-transform", "config": {"body": body}})
    assert patched(*uses).request_body_buffer_limit.value == held


def test_only_the_filters_that_are_needed_are_switched_on() -> None:
    needed = {names.TRANSFORM_FILTER, names.HEADER_MUTATION_FILTER}
    assert set(patched(limit(10)).typed_per_filter_config) == needed
    assert set(patched().typed_per_filter_config) == set()


def test_a_bound_changes_no_listener() -> None:
    plain = build_snapshot(World(edge(), route()).gateway)
    bounded = build_snapshot(World(edge(), route(plugins=[limit(10)])).gateway)
    assert plain.resources[LISTENER] == bounded.resources[LISTENER]
