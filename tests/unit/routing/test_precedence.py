"""The order of routes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from fluxgate.ir import (
    CredentialClass,
    DirectResponse,
    HTTPRoute,
    PathKind,
    PathMatch,
    RouteMatch,
    ValueKind,
    ValueMatch,
)
from fluxgate.resources import ObjectRef
from fluxgate.routing.precedence import route_sort_key

HEADER = ValueMatch("x-a", ValueKind.PRESENT)
QUERY = ValueMatch("q", ValueKind.PRESENT)


def route(kind: PathKind = PathKind.PREFIX, value: str = "/a", **match: object) -> HTTPRoute:
    wanted = RouteMatch(PathMatch(kind, value), **match)  # type: ignore[arg-type]
    return HTTPRoute(
        "route/default/r/0", ObjectRef("Route", "default", "r"), wanted, DirectResponse(200)
    )


BASE = route()
PAIRS = {
    "a higher priority": (("*", replace(route(value="/"), priority=1)), ("a.example.com", BASE)),
    "an exact host": (("a.example.com", route(value="/")), ("*.example.com", BASE)),
    "a longer wildcard": (("*.a.example.com", route(value="/")), ("*.example.com", BASE)),
    "Exact before Template": (
        ("*", route(PathKind.EXACT, "/a")),
        ("*", route(PathKind.TEMPLATE, "/{x}")),
    ),
    "Template before Regex": (
        ("*", route(PathKind.TEMPLATE, "/{x}")),
        ("*", route(PathKind.REGEX, "/aaa.*")),
    ),
    "Regex before Prefix": (("*", route(PathKind.REGEX, ".*")), ("*", route(value="/a/b/c"))),
    "a literal segment before a parameter": (
        ("*", route(PathKind.TEMPLATE, "/a/{x}")),
        ("*", route(PathKind.TEMPLATE, "/{x}/a/b")),
    ),
    "a parameter before the rest": (
        ("*", route(PathKind.TEMPLATE, "/a/{x}")),
        ("*", route(PathKind.TEMPLATE, "/a/{x=**}")),
    ),
    "the template with more segments": (
        ("*", route(PathKind.TEMPLATE, "/a/{x}/b")),
        ("*", route(PathKind.TEMPLATE, "/a/{x}")),
    ),
    "the regex with the longer literal beginning": (
        ("*", route(PathKind.REGEX, "/ab.*")),
        ("*", route(PathKind.REGEX, "/a[bcdef]*")),
    ),
    "the longer prefix": (("*", route(value="/a/b")), ("*", route(value="/a/"))),
    "a route that names methods": (
        ("*", route(methods=("GET",))),
        ("*", route(headers=(HEADER,))),
    ),
    "fewer methods": (("*", route(methods=("GET",))), ("*", route(methods=("GET", "POST")))),
    "more headers": (("*", route(headers=(HEADER,))), ("*", route(query=(QUERY, QUERY)))),
    "more query parameters": (("*", route(query=(QUERY,))), ("*", BASE)),
    "a credential class": (("*", route(credential=CredentialClass.NONE)), ("*", BASE)),
    "the older route": (
        ("*", replace(BASE, created="2026-01-01T00:00:00Z")),
        ("*", replace(BASE, created="2026-01-02T00:00:00Z", name="route/a/a/0")),
    ),
    "a known creation time": (("*", replace(BASE, created="2026-01-01T00:00:00Z")), ("*", BASE)),
    "the name": (("*", replace(BASE, name="route/a/r/0")), ("*", BASE)),
    "the match by number": (
        ("*", replace(BASE, name="route/default/r/2")),
        ("*", replace(BASE, name="route/default/r/10")),
    ),
    "the shape of a template, not the name of its parameter": (
        ("*", route(PathKind.TEMPLATE, "/a/{y}", methods=("GET",))),
        ("*", route(PathKind.TEMPLATE, "/a/{x}")),
    ),
    "a preflight sibling": (("*", replace(BASE, name=BASE.name + "/preflight")), ("*", BASE)),
}


@pytest.mark.parametrize("rule", PAIRS)
def test_what_is_tried_first(rule: str) -> None:
    first, second = PAIRS[rule]
    assert route_sort_key(*first) < route_sort_key(*second)


def test_the_order_does_not_depend_on_the_order_of_the_input() -> None:
    everything = [pair for pairs in PAIRS.values() for pair in pairs]
    declared = [
        (host, replace(each, name=f"route/default/r/{number}"))
        for number, (host, each) in enumerate(everything)
    ]
    ordered = sorted(declared, key=lambda pair: route_sort_key(*pair))
    Random(1).shuffle(declared)
    assert sorted(declared, key=lambda pair: route_sort_key(*pair)) == ordered
