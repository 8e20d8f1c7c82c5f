"""``envoy-patch``: what raw configuration can do on a route, and what stays out of its reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import api_key, by_key
from support.documents import CLOSED, Document, Documents, gateway, obj, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy
FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


def stamp(value: str, name: str = "stamp") -> Document:
    """A filter that appends ``x-stamp`` to requests and answers."""
    append = {"append": {"header": {"key": "x-stamp", "value": value}}}
    return {
        "name": name,
        "typedConfig": {
            "@type": f"{FILTERS}.header_mutation.v3.HeaderMutation",
            "mutations": {"requestMutations": [append], "responseMutations": [append]},
        },
    }


def patch(*filters: Document, **config: Any) -> Document:
    return {"envoy-patch": {"filters": list(filters), **config}}


def forged() -> Document:
    filter_ = stamp("")
    append = {"append": {"header": {"key": "x-tenant-id", "value": "somebody-else"}}}
    filter_["typedConfig"]["mutations"] = {"requestMutations": [append]}
    return filter_


def rerouting() -> Document:
    """Envoy's Lua filter has a route chosen again, unless it is told not to."""
    script = 'function envoy_on_request(h) h:headers():replace(":path", "/plain") end'
    source = {"inlineString": script}
    config = {"@type": f"{FILTERS}.lua.v3.Lua", "defaultSourceCode": source}
    return {"name": "reroute", "typedConfig": config}


MALFORMED = {
    "nothing": ({}, "config: says nothing"),
    "no-type": (
        {"filters": [{"name": "x", "typedConfig": {}}]},
        "config.filters[0].typedConfig.@type: has to name",
    ),
    "router": (
        {"filters": [{"name": "x", "typedConfig": {"@type": f"{FILTERS}.router.v3.Router"}}]},
        "ends the chain",
    ),
    "another-slot": (
        {
            "filters": [
                {
                    "name": "x",
                    "typedConfig": {"@type": f"{FILTERS}.filter_chain.v3.FilterChainConfig"},
                }
            ]
        },
        "holds other filters",
    ),
    "twice": (
        {"filters": [stamp("a"), stamp("b")]},
        "config.filters: two filters have the same name",
    ),
    "no-route": ({"route": {"wrong": 1}}, "config.route: is no fragment of a Route"),
    "match": ({"route": {"match": {"prefix": "/"}}}, "config.route.match: cannot be patched"),
    "cluster": ({"route": {"route": {"cluster": "x"}}}, "config.route.route.cluster: cannot"),
    "open-door": (
        {
            "route": {
                "typedPerFilterConfig": {
                    "fluxgate.api_key_auth": {
                        "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig",
                        "disabled": True,
                    }
                }
            }
        },
        "config.route.typedPerFilterConfig: cannot be patched",
    ),
    "answer": ({"route": {"directResponse": {"status": 200}}}, "config.route.directResponse"),
    "identity": (
        {"route": {"requestHeadersToAdd": [{"header": {"key": "X-Tenant-Id", "value": "x"}}]}},
        "only the gateway says what stands in X-Tenant-Id",
    ),
    "metadata": (
        {"route": {"metadata": {"filterMetadata": {"fluxgate.plan_limit": {"plan": "free"}}}}},
        "fluxgate.plan_limit belongs to the gateway",
    ),
}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    keyed = {"auth": {"mode": "Required"}}
    fragment = {
        "responseHeadersToAdd": [{"header": {"key": "x-fragment", "value": "there"}}],
        "route": {"timeout": "0.2s"},
    }
    documents = (
        gateway(extensions={"allow": ["envoy-patch"]}),
        obj("Tenant", "acme", {}),
        api_key("caller", tenant="acme"),
        route("filters", echo.port, patch(stamp("one", "one"), stamp("two", "two"))),
        route("fragment", echo.port, patch(route=fragment)),
        route("plain", echo.port),
        route("rerouting", echo.port, patch(rerouting())),
        route("keyed", echo.port, patch(stamp("seen")), **keyed),
        route("forged", echo.port, patch(forged()), **keyed),
        route("nowhere", 9, patch(route=fragment), backends=[{"name": "nobody"}]),
        route("closed", echo.port, patch(route=fragment), {"rate-limit": {"plan": "nowhere"}}),
        *(
            route(name, echo.port, {"envoy-patch": config})
            for name, (config, _) in MALFORMED.items()
        ),
    )
    with Documents(*documents) as running:
        yield running


def test_filters_run_in_their_order(served: Documents) -> None:
    answer = served.get("/filters")
    assert answer.echoed("x-stamp") == ["one", "two"]
    assert [value for name, value in answer.headers if name == "x-stamp"] == ["two", "one"]


def test_a_fragment_is_merged_into_the_route(served: Documents) -> None:
    assert served.get("/fragment").header("x-fragment") == "there"


def test_other_routes_know_nothing_of_it(served: Documents) -> None:
    answer = served.get("/plain")
    assert (answer.echoed("x-stamp"), answer.header("x-fragment")) == ([], None)


def test_filters_see_only_whom_authentication_lets_pass(
    served: Documents, echo: EchoUpstream
) -> None:
    echo.clear()
    assert served.get("/keyed").status == 401
    assert echo.requests == []
    assert served.get("/keyed", by_key("caller")).echoed("x-stamp") == ["seen"]


def test_a_filter_cannot_say_who_is_calling(served: Documents) -> None:
    assert served.get("/forged", by_key("caller")).echoed("x-tenant-id") == ["acme"]


def test_a_filter_cannot_lead_a_request_to_another_route(
    served: Documents, echo: EchoUpstream
) -> None:
    echo.clear()
    answer = served.get("/rerouting")
    assert (answer.status, answer.json()["error"]) == (500, "internal_error")
    assert echo.requests == []


@pytest.mark.parametrize(("path", "status"), [("/closed", CLOSED), ("/nowhere", 502)])
def test_a_route_that_does_not_forward_gets_no_fragment(
    served: Documents, path: str, status: int
) -> None:
    answer = served.get(path)
    assert (answer.status, answer.header("x-fragment")) == (status, None)


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_out_of_reach_is_named_and_closes_the_route(served: Documents, name: str) -> None:
    condition = served.condition("Route", name)
    assert not condition.status
    assert MALFORMED[name][1] in condition.message
    assert served.get(f"/{name}").status == CLOSED


def test_without_the_operators_word_nothing_is_patched(echo: EchoUpstream) -> None:
    with Documents(gateway(), route("filters", echo.port, patch(stamp("x")))) as closed:
        condition = closed.condition("Route", "filters", "ResolvedRefs")
        assert "spec.extensions.allow" in condition.message
        assert closed.get("/filters").status == CLOSED
