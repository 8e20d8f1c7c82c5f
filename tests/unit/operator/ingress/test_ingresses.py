"""Which Ingresses are ours, what they become, and what their writers are told."""

from __future__ import annotations

from typing import Any

import pytest
from support.ingresses import CLASS, Shop, default, ingress, path, rule

from fluxgate.api.v1alpha1 import Route
from fluxgate.resources import ObjectRef
from fluxgate.routing.explain import explain, request_of
from fluxgate.xds.build import build_snapshot

LEGACY = "kubernetes.io/ingress.class"
DEFAULT = {"ingressclass.kubernetes.io/is-default-class": "true"}
FOREIGN = {"metadata": {"name": "theirs"}, "spec": {"controller": "k8s.io/ingress-nginx"}}
WEB = rule("a.example.com", path("/", "web"))


@pytest.fixture
def shop() -> Shop:
    """With the Services ``web`` and ``other``, each with the ports 80 and 443."""
    found = Shop()
    for name in ("web", "other"):
        found.service(name, 80, 443)
    found.put_class(FOREIGN)
    return found


# classes


@pytest.mark.parametrize(
    ("class_", "annotations", "is_default", "served"),
    [
        ("ours", {}, False, True),
        ("theirs", {}, False, False),
        ("unknown", {}, False, False),
        ("fluxgate", {}, False, False),  # a name needs an IngressClass
        (None, {LEGACY: "ours"}, False, True),
        (None, {LEGACY: "fluxgate"}, False, True),  # the annotation does not
        (None, {LEGACY: "theirs"}, True, False),
        (None, {}, False, False),
        (None, {}, True, True),
        ("theirs", {}, True, False),
    ],
)
def test_an_ingress_is_ours_by_its_class(
    shop: Shop, class_: str | None, annotations: dict[str, str], is_default: bool, served: bool
) -> None:
    if is_default:
        shop.put_class({**CLASS, "metadata": {"name": "ours", "annotations": DEFAULT}})
    shop.put(ingress("a", WEB, class_=class_, annotations=annotations))
    assert shop.answers("a.example.com/") == ("web" if served else "")


def test_it_comes_with_its_class_and_goes_with_it(shop: Shop) -> None:
    shop.drop_class("ours")
    shop.put(ingress("a", WEB))
    assert shop.names() == set()
    shop.put_class(CLASS)
    assert shop.names() == {"Ingress:a:0000"}
    shop.drop_class("ours")
    assert shop.names() == set()


def test_one_that_changes_to_a_foreign_class_is_served_no_more(shop: Shop) -> None:
    shop.put(ingress("a", WEB))
    shop.put(ingress("a", WEB, class_="theirs"))
    assert shop.names() == set()
    assert shop.ingresses.ours() == {}


def test_the_ingresses_that_we_make_ourselves_are_no_input(shop: Shop) -> None:
    shop.put(ingress("a", WEB))
    made = ingress("a", WEB)
    made["metadata"]["labels"] = {"gateway.fluxgate.io/exposure": "main"}
    shop.put(made)
    assert shop.names() == set()


# the gateway


def test_the_class_parameters_choose_the_gateway_then_the_annotation_then_the_first(
    shop: Shop,
) -> None:
    shop.gateway("second", 8081)
    parameters = {
        "apiGroup": "gateway.fluxgate.io",
        "kind": "GatewayConfig",
        "name": "second",
        "namespace": "edge",
        "scope": "Namespace",
    }
    spec = {**CLASS["spec"], "parameters": parameters}
    shop.put_class({"metadata": {"name": "inner"}, "spec": spec})
    mark = {"gateway.fluxgate.io/gateway": "edge/second"}
    shop.put(
        ingress("a", rule("a.example.com", path("/", "web"))),
        ingress("b", rule("b.example.com", path("/", "web")), annotations=mark),
        ingress("c", rule("c.example.com", path("/", "web")), class_="inner"),
    )
    for host, gateway in (("a", "main"), ("b", "second"), ("c", "second")):
        for each in ("main", "second"):
            answer = shop.answers(f"{host}.example.com/", f"edge/{each}")
            assert answer == ("web" if each == gateway else ""), (host, each)


def test_a_fleet_of_sidecars_serves_no_ingress(shop: Shop) -> None:
    shop.gateway("a-mesh", mode="Sidecar")  # the first in order
    shop.put(ingress("a", WEB))
    assert shop.answers("a.example.com/") == "web"


def test_without_a_gateway_that_is_told_and_it_is_served_when_there_is_one(shop: Shop) -> None:
    shop.store.remove(ObjectRef("GatewayConfig", "edge", "main"))
    shop.ingresses.settle()
    shop.put(ingress("a", WEB))
    assert shop.problems("a") == ("there is no GatewayConfig to serve it; create one",)
    shop.gateway("main")
    assert shop.problems("a") == ()
    assert shop.answers("a.example.com/") == "web"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"apiGroup": "k8s.example.com", "kind": "X", "name": "x"}, "must name a GatewayConfig"),
        (
            {"apiGroup": "gateway.fluxgate.io", "kind": "GatewayConfig", "name": "main"},
            "needs scope: Namespace",
        ),
    ],
)
def test_parameters_that_cannot_be_followed_are_told(
    shop: Shop, parameters: dict[str, str], words: str
) -> None:
    shop.put_class({**CLASS, "spec": {**CLASS["spec"], "parameters": parameters}})
    shop.put(ingress("a", WEB))
    (problem,) = shop.problems("a")
    assert problem.startswith("IngressClass ours: spec.parameters")
    assert words in problem


# Services


def test_a_port_by_name_follows_the_service(shop: Shop) -> None:
    shop.put(ingress("a", rule("a.example.com", path("/", "web", port="port-443"))))
    route = shop.store.get(ObjectRef("Route", "shop", "Ingress:a:0000"))
    assert isinstance(route, Route)
    assert route.spec.backends[0].port == 443
    shop.service("web", 80)
    (problem,) = shop.problems("a")
    assert problem == (
        "spec.rules[0].http.paths[0]: Service shop/web has no port named 'port-443'; "
        "named ports: port-80"
    )
    assert shop.answers("a.example.com/") == "502"


def test_a_service_that_is_not_there_is_told_and_keeps_its_place(shop: Shop) -> None:
    shop.put(
        ingress(
            "a",
            rule("a.example.com", path("/", "web"), path("/gone", "gone", port="http")),
        )
    )
    (problem,) = shop.problems("a")
    assert problem.startswith("spec.rules[0].http.paths[1]: Service shop/gone does not exist")
    assert shop.answers("a.example.com/gone/x") == "502"
    assert shop.answers("a.example.com/x") == "web"


def test_a_port_number_that_the_service_does_not_have_is_told(shop: Shop) -> None:
    shop.put(ingress("a", rule("a.example.com", path("/", "web", port=8443))))
    (problem,) = shop.problems("a")
    assert problem.startswith("spec.rules[0].http.paths[0].backend.service")
    assert "8443" in problem


def test_an_external_name_is_refused_with_a_remedy(shop: Shop) -> None:
    shop.service("away", 80, type="ExternalName", externalName="x.example.com")
    shop.put(ingress("a", rule("a.example.com", path("/", "away"))))
    (problem,) = shop.problems("a")
    assert "of type ExternalName" in problem
    assert "Backend" in problem


@pytest.mark.parametrize("place", ["path", "default"])
def test_a_resource_backend_is_refused_with_words(shop: Shop, place: str) -> None:
    resource = {"resource": {"apiGroup": "k8s.example.com", "kind": "Bucket", "name": "icons"}}
    if place == "path":
        bad = {"path": "/", "pathType": "Prefix", "backend": resource}
        shop.put(ingress("a", rule("a.example.com", bad)))
        where = "spec.rules[0].http.paths[0]"
    else:
        shop.put(ingress("a", defaultBackend=resource))
        where = "spec.defaultBackend"
    (problem,) = shop.problems("a")
    assert problem.startswith(f"{where}: a resource backend is not supported")
    assert shop.answers("a.example.com/") == "502"


@pytest.mark.parametrize(
    ("never", "remedy"),
    [
        ("/café", "percent-encode"),
        ("/foo(/|$)(.*)", "percent-encode"),
        ("/users/{id}", "%7B"),
        ("/%41", "write A for %41"),
    ],
)
def test_a_path_that_no_request_has_is_told_and_the_others_are_served(
    shop: Shop, never: str, remedy: str
) -> None:
    shop.put(ingress("a", rule("a.example.com", path(never, "other"), path("/", "web"))))
    (problem,) = shop.problems("a")
    assert problem.startswith("spec.rules[0].http.paths[0]: ")
    assert remedy in problem
    assert shop.answers("a.example.com/") == "web"


# claims


def test_of_two_that_claim_the_same_the_older_wins_and_the_younger_is_told(shop: Shop) -> None:
    shop.put(
        ingress(
            "a-young", rule("a.example.com", path("/x", "other")), created="2026-05-01T00:00:00Z"
        ),
        ingress("z-old", rule("a.example.com", path("/x", "web")), created="2026-04-01T00:00:00Z"),
    )
    assert shop.answers("a.example.com/x") == "web"
    assert shop.problems("z-old") == ()
    (problem,) = shop.problems("a-young")
    assert problem.startswith("spec.rules[0].http.paths[0]: ")
    assert "already claimed by Ingress shop/z-old, which is older" in problem
    assert problem.endswith("change the host or the path")


def test_a_path_written_twice_in_one_ingress_goes_to_the_first(shop: Shop) -> None:
    paths = [path("/x", "web"), *(path(f"/{n}", "web") for n in range(1, 10)), path("/x", "other")]
    shop.put(ingress("a", rule("a.example.com", *paths)))
    assert shop.answers("a.example.com/x") == "web"
    (problem,) = shop.problems("a")
    assert problem.startswith("spec.rules[0].http.paths[10]: ")
    assert problem.endswith("by an earlier path of this Ingress; remove one")


def test_two_default_backends_for_all_hosts_are_a_claim_too(shop: Shop) -> None:
    shop.put(
        ingress("old", defaultBackend=default("web")),
        ingress("young", defaultBackend=default("other"), created="2026-05-01T00:00:00Z"),
    )
    assert shop.answers("any.example.com/") == "web"
    (problem,) = shop.problems("young")
    assert "Ingress shop/old" in problem


# names, bytes, life


def test_what_it_becomes_has_names_no_object_can_have_and_leads_back_to_it(shop: Shop) -> None:
    shop.put(ingress("a", WEB))
    (name,) = shop.names()
    assert ":" in name
    found = explain(shop.table(), request_of("GET", "http://a.example.com/x"))
    assert found.origin is not None
    assert str(found.origin) == "Ingress shop/a"
    assert found.origin.source == ObjectRef("Ingress", "shop", "a")


def test_the_order_in_which_they_come_makes_no_difference_to_the_bytes() -> None:
    documents = [
        ingress("a", WEB, defaultBackend=default("other")),
        ingress("b", rule("*.example.com", path("/b", "web", "Exact"))),
        ingress("c", rule("", path("/", "other"))),
    ]
    versions = set()
    for order in (documents, documents[::-1], [documents[1], documents[0], documents[2]]):
        found = Shop()
        found.put(order[0])
        found.service("web", 80)
        found.put(*order[1:], order[0])
        found.service("other", 80)
        versions.add(build_snapshot(found.translated().gateways["edge/main"]).version)
    assert len(versions) == 1


def test_an_update_takes_away_what_it_does_not_say_any_more(shop: Shop) -> None:
    shop.put(ingress("a", rule("a.example.com", path("/x", "web"), path("/y", "web"))))
    shop.put(ingress("a", rule("a.example.com", path("/y", "other"))))
    assert shop.answers("a.example.com/x") == ""
    assert shop.answers("a.example.com/y") == "other"
    shop.drop("a")
    assert shop.names() == set()
    assert shop.store.freeze().server_certificates == {}


def test_an_equal_update_changes_nothing_in_the_store(shop: Shop) -> None:
    shop.put(ingress("a", WEB))
    revision = shop.store.revision
    again: dict[str, Any] = ingress("a", WEB)
    again["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    shop.put(again)
    assert shop.store.revision == revision
    (ours,) = shop.ingresses.ours().values()
    assert ours.ingress.addresses == (("ip", "192.0.2.1"),)


# TLS


def test_the_secret_is_for_the_hosts_it_names_or_those_of_the_rules(shop: Shop) -> None:
    shop.put(
        ingress("a", WEB, tls=[{"hosts": ["*.example.com"], "secretName": "wild"}]),
        ingress("b", rule("b.example.com", path("/", "web")), tls=[{"secretName": "b-tls"}]),
    )
    added = shop.store.freeze().server_certificates.values()
    found = {
        each.name: [(one.secret.name, one.hosts) for one in each.certificates] for each in added
    }
    assert found == {
        "Ingress:a": [("wild", ("*.example.com",))],
        "Ingress:b": [("b-tls", ("b.example.com",))],
    }


def test_a_missing_secret_and_a_gateway_without_https_are_told(shop: Shop) -> None:
    shop.put(ingress("a", WEB, tls=[{"hosts": ["a.example.com"], "secretName": "gone"}]))
    no_listener, no_secret = shop.problems("a")
    assert "has no HTTPS listener" in no_listener
    assert no_secret.startswith("spec.tls[0].secretName: ")
    assert "until then its hosts get the listener's own certificate" in no_secret


def test_a_secret_for_no_host_is_told(shop: Shop) -> None:
    shop.put(ingress("a", defaultBackend=default("web"), tls=[{"secretName": "x"}]))
    assert any("names no host" in each for each in shop.problems("a"))
