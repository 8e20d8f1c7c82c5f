"""What a client asks for: the protocol's rules on names and wildcards, one a test."""

from __future__ import annotations

import pytest
from unit.xds_server.simulated import resource

from fluxgate.xds.typeurl import CLUSTER, ENDPOINT, EXTENSION, LISTENER, ROUTE, SECRET
from fluxgate_xds.subscription import Subscription

ON_DEMAND = resource(LISTENER, "svc", on_demand=True)
ORDINARY = resource(LISTENER, "main")


@pytest.mark.parametrize("url", [CLUSTER, LISTENER])
def test_an_empty_first_request_means_everything_for_clusters_and_listeners(url: str) -> None:
    assert Subscription.first(url, []).wildcard


@pytest.mark.parametrize("url", [ENDPOINT, SECRET, EXTENSION, ROUTE])
def test_an_empty_first_request_means_nothing_for_types_asked_for_by_name(url: str) -> None:
    subscription = Subscription.first(url, [])
    assert (subscription.wildcard, subscription.names) == (False, frozenset())


def test_a_star_is_a_wildcard_for_any_type() -> None:
    assert Subscription.first(ROUTE, ["*"]).wildcard


def test_names_alone_are_no_wildcard() -> None:
    assert Subscription.first(LISTENER, ["a"]) == Subscription(
        wildcard=False, names=frozenset({"a"})
    )


def test_an_empty_sotw_request_keeps_the_legacy_wildcard() -> None:
    assert Subscription.first(CLUSTER, []).replaced([]).wildcard


def test_the_protocols_own_sotw_example_holds() -> None:
    first = Subscription.first(CLUSTER, [])
    second = first.replaced(["*", "A"])
    third = second.replaced(["A"])
    fourth = third.replaced([])
    assert (second.wildcard, second.names) == (True, {"A"})
    assert (third.wildcard, third.names) == (False, {"A"})
    assert (fourth.wildcard, fourth.names) == (False, frozenset())


def test_the_protocols_own_delta_example_holds() -> None:
    first = Subscription.first(CLUSTER, [])
    second = first.updated(["A"], [])
    third = second.updated([], ["*"])
    fourth = third.updated([], ["A"])
    assert (second.wildcard, second.names) == (True, {"A"})
    assert (third.wildcard, third.names) == (False, {"A"})
    assert (fourth.wildcard, fourth.names) == (False, frozenset())


def test_unsubscribing_from_an_unknown_name_changes_nothing() -> None:
    subscription = Subscription.first(ENDPOINT, ["a"])
    assert subscription.updated([], ["b"]) == subscription


def test_a_wildcard_selects_ordinary_resources_but_not_those_on_demand() -> None:
    wildcard = Subscription.first(LISTENER, [])
    assert (wildcard.selects(ORDINARY), wildcard.selects(ON_DEMAND)) == (True, False)


def test_a_name_selects_a_resource_on_demand() -> None:
    assert Subscription.first(LISTENER, ["svc"]).selects(ON_DEMAND)
    assert Subscription.first(LISTENER, ["*", "svc"]).selects(ON_DEMAND)
