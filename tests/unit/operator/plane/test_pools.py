"""Pools in the words of the port, remembered as long as nothing says otherwise."""

from __future__ import annotations

import pytest
from support.resources import gateway_of, upstream

from fluxgate.ports.plane import TargetHealth
from fluxgate.resources import ObjectRef
from fluxgate_operator.health import Ailment, HealthBook
from fluxgate_operator.plane.pools import PoolBook, object_of

CHECK = {"active": {"path": "/healthz", "interval": "1s"}}


def routed(name: str) -> str:
    return (
        "apiVersion: gateway.fluxgate.io/v1alpha1\nkind: Route\n"
        f"metadata: {{name: {name}}}\nspec:\n  matches: [{{path: {{value: /{name}}}}}]\n"
        f"  backends: [{{kind: Upstream, name: {name}}}]\n"
    )


@pytest.mark.parametrize(
    ("pool", "ref"),
    [
        ("upstream/shop/orders", ObjectRef("Upstream", "shop", "orders")),
        ("sidecar/shop/orders", ObjectRef("Upstream", "shop", "orders")),
        ("backend/shop/orders", ObjectRef("Backend", "shop", "orders")),
        ("service/shop/orders:80", ObjectRef("Service", "shop", "orders")),
        ("url/http://127.0.0.1:9000", None),
    ],
)
def test_a_pool_names_the_object_it_is_made_from(pool: str, ref: ObjectRef | None) -> None:
    assert object_of(pool) == ref


def test_a_target_that_a_node_sends_nothing_is_told_with_node_and_reason() -> None:
    gateways = {"main": gateway_of(upstream("a", 9000, healthChecks=CHECK), routed("a"))}
    book = HealthBook()
    cluster = gateways["main"].clusters[0].name
    book.put(("main", "one"), {cluster: {"127.0.0.1:9000": (Ailment.CHECK_FAILED,)}})
    book.put(("main", "two"), {})

    (pool,) = PoolBook(book).pools(gateways)

    (target,) = pool.targets
    assert target.health is TargetHealth.PARTLY_HEALTHY
    assert target.reasons == ("CheckFailed",)
    assert target.nodes == ("one",)


def test_nothing_is_made_again_until_something_says_otherwise() -> None:
    health = HealthBook()
    book = PoolBook(health)
    gateways = {"main": gateway_of(upstream("a", 9000, healthChecks=CHECK), routed("a"))}
    first = book.pools(gateways)
    assert book.pools(gateways) is first

    health.put(("main", "one"), {})

    second = book.pools(gateways)
    assert second is not first
    assert second[0].targets[0].health is TargetHealth.HEALTHY


def test_a_pool_that_stays_is_the_same_object_beside_a_new_one() -> None:
    book = PoolBook(HealthBook())
    one = (upstream("a", 9000), routed("a"))
    (before,) = book.pools({"main": gateway_of(*one)})

    after = book.pools({"main": gateway_of(*one, upstream("b", 9001), routed("b"))})

    assert after[0] is before
    assert len(after) == 2
