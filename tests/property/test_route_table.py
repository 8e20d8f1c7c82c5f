"""Route tables: the list, the tree and the reference matcher say the same, whatever the table."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from property.routing_tables.evaluate import answer
from property.routing_tables.gateway import NameOfRoute, RoutingGateway
from property.routing_tables.strategies import (
    PREFIXES,
    Sent,
    declared_routes,
    make_route,
    matches,
    requests_for,
    table_of,
)

from fluxgate.ir import HTTPRoute, RouteMatch, RouteTable
from fluxgate.routing.buckets import BucketLimits, Entry, anchor_of, lay_out
from fluxgate.routing.normalise import normalise_path
from fluxgate.routing.reference import match, select_virtual_host
from fluxgate.xds.route_table import RouteTableCache, build_route_configuration

Declared = list[tuple[str, HTTPRoute]]

LIST = BucketLimits(bucket_size=1_000_000)
SPLIT = BucketLimits(bucket_size=1, copies_per_route=1_000)
TREES = (SPLIT, BucketLimits(bucket_size=1), BucketLimits(bucket_size=3, copies_per_route=1))
FILTERS = (NameOfRoute(),)


def reference(table: RouteTable, sent: Sent) -> str:
    virtual_host = select_virtual_host(table, sent.host)
    found = virtual_host and match(virtual_host.routes, sent.seen(), PREFIXES)
    return found.name if found else ""


@st.composite
def tables_with_requests(draw: st.DrawFn, count: int) -> tuple[Declared, list[Sent]]:
    declared = draw(declared_routes())
    requests = draw(st.lists(requests_for(declared), min_size=count, max_size=count))
    return declared, [each for each in requests if normalise_path(each.path) is not None]


@pytest.mark.envoy
def test_envoy_answers_from_list_and_tree_as_the_reference_matcher_says() -> None:
    answered = 0
    with RoutingGateway(("list", "tree")) as gateway:

        @settings(
            max_examples=120,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )
        @given(tables_with_requests(60))
        def agree(case: tuple[Declared, list[Sent]]) -> None:
            nonlocal answered
            declared, requests = case
            table = table_of(declared)
            gateway.load(
                {
                    "list": build_route_configuration(
                        table, PREFIXES, FILTERS, limits=LIST
                    ).payload,
                    "tree": build_route_configuration(
                        table, PREFIXES, FILTERS, limits=SPLIT
                    ).payload,
                }
            )
            expected = [reference(table, each) for each in requests]
            answered += sum(map(bool, expected))
            for encoding in ("list", "tree"):
                answers = gateway.ask(encoding, requests)
                for sent, (status, name), wanted in zip(requests, answers, expected, strict=True):
                    assert (encoding, status, name) == (encoding, 200 if wanted else 404, wanted), (
                        sent
                    )

        agree()
    assert answered > 100, "the random tables hardly match any request: the comparison is empty"


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(tables_with_requests(8))
def test_every_layout_offers_the_route_the_reference_matcher_finds(
    case: tuple[Declared, list[Sent]],
) -> None:
    declared, requests = case
    table = table_of(declared)
    by_name = {route.name: route for _, route in declared}
    for limits in (LIST, *TREES):
        payload = build_route_configuration(table, PREFIXES, (), limits=limits).payload
        for sent in requests:
            found = answer(payload, by_name, sent.seen(), PREFIXES)
            assert found == reference(table, sent), (limits, sent)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(declared_routes(), st.randoms(use_true_random=False))
def test_shuffled_input_gives_the_same_bytes(declared: Declared, random: Random) -> None:
    shuffled = list(declared)
    random.shuffle(shuffled)
    for limits in TREES:
        one = build_route_configuration(table_of(declared), PREFIXES, (), limits=limits)
        two = build_route_configuration(table_of(shuffled), PREFIXES, (), limits=limits)
        assert one == two


@st.composite
def edit_scripts(draw: st.DrawFn) -> list[Declared]:
    """States of a table, each made from the one before by adding, removing and replacing routes."""
    states = [draw(declared_routes(max_routes=30))]
    for step in range(draw(st.integers(1, 6))):
        declared = list(states[-1])
        for number in range(draw(st.integers(0, 3))):
            fresh = make_route(
                f"{step}-{number}", draw(matches), priority=draw(st.sampled_from((0, 0, 1)))
            )
            place = draw(st.integers(0, len(declared)))
            match draw(st.sampled_from(("add", "remove", "replace", "move"))):
                case "add":
                    declared.insert(place, (draw(st.sampled_from(("*", "a.example.com"))), fresh))
                case "remove":
                    del declared[place : place + 1]
                case "replace" if place < len(declared):
                    declared[place] = (declared[place][0], fresh)
                case "move" if place < len(declared):
                    declared[place] = ("a.example.com", declared[place][1])
        states.append(declared)
    return states


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(edit_scripts())
def test_a_kept_cache_gives_what_a_fresh_build_gives(states: list[Declared]) -> None:
    for limits in TREES:
        cache = RouteTableCache()
        for declared in states:
            table = table_of(declared)
            kept = build_route_configuration(table, PREFIXES, FILTERS, cache, limits)
            assert kept == build_route_configuration(table, PREFIXES, FILTERS, limits=limits)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(matches, min_size=1, max_size=40), st.integers(1, 8), st.integers(0, 3))
def test_copies_stay_within_their_budget(
    found: list[RouteMatch], bucket_size: int, copies_per_route: int
) -> None:
    entries = [Entry.of(make_route(str(index), each)) for index, each in enumerate(found)]
    entries.sort(key=anchor_of)
    tree = lay_out(entries, BucketLimits(bucket_size, copies_per_route))
    held = [entry for node in tree.walk() for entry in node.bucket or ()]
    assert {id(each) for each in held} == {id(each) for each in entries}
    assert len(held) <= len(entries) * (1 + copies_per_route)
