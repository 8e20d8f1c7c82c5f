"""The listener's path normalisation, as Python says and as the real Envoy does."""

from __future__ import annotations

import itertools

import pytest
from property.routing_tables.gateway import NameOfRoute, RoutingGateway
from property.routing_tables.strategies import Sent, make_route, table_of

from fluxgate.ir import PathKind, PathMatch, RouteMatch
from fluxgate.routing.normalise import normalise_path
from fluxgate.xds.route_table import build_route_configuration

PIECES = (
    "/",
    "//",
    "/a",
    "/.",
    "/..",
    "/%2e%2E",
    "/..;x",
    "/.;",
    "\\b",
    "\\..;x",
    "%41",
    "%7e",
    "%c3",
)
ODD = ("/<{|}>", "/a%zz", "/a%", "/a%2fb", "/a%5Cb", "/a%00b", "/a/..%3b/b", "/a/%252e", "/...")


@pytest.mark.envoy
def test_envoy_normalises_paths_as_the_reference_does() -> None:
    paths = ["/" + "".join(each) for each in itertools.product(PIECES, repeat=3)]
    paths += ["/a" + "".join(each) for each in itertools.product(PIECES, repeat=2)] + list(ODD)
    normalised = [normalise_path(path) for path in paths]
    numbers = {path: str(i) for i, path in enumerate(sorted({each for each in normalised if each}))}
    table = table_of(
        [
            ("*", make_route(number, RouteMatch(PathMatch(PathKind.EXACT, path))))
            for path, number in numbers.items()
        ]
    )
    expected = [
        (200, f"route/default/r{numbers[each]}/0") if each else (400, "") for each in normalised
    ]
    with RoutingGateway(("tree",)) as gateway:
        gateway.load({"tree": build_route_configuration(table, (), (NameOfRoute(),)).payload})
        found = [gateway.ask("tree", [Sent("GET", "x", path, "", ())])[0] for path in paths]
    wrong = [
        each for each in zip(paths, normalised, expected, found, strict=True) if each[2] != each[3]
    ]
    assert wrong == []
