"""One route of the IR as Envoy's messages."""

from __future__ import annotations

import re

import pytest

from fluxgate.ir import (
    CredentialClass,
    DirectResponse,
    Forward,
    HashPolicy,
    HTTPRoute,
    MirrorIR,
    PathKind,
    PathMatch,
    PathRewriteIR,
    RetryPolicy,
    RewriteKind,
    RouteAction,
    RouteMatch,
    WeightedCluster,
)
from fluxgate.resources import ObjectRef
from fluxgate.xds.route import build_route, clusters_of

ONE = (WeightedCluster("one", 1),)


def route(action: RouteAction, match: RouteMatch | None = None) -> HTTPRoute:
    wanted = match or RouteMatch(PathMatch(PathKind.PREFIX, "/a"))
    return HTTPRoute("route/default/r/0", ObjectRef("Route", "default", "r"), wanted, action)


def rewritten(kind: PathKind, value: str, rewrite: PathRewriteIR, path: str) -> str:
    """What Envoy's prefix_rewrite or regex_rewrite makes of ``path``."""
    action = Forward(ONE, path_rewrite=rewrite)
    (message,) = build_route(route(action, RouteMatch(PathMatch(kind, value))), (), ())
    if message.route.prefix_rewrite:
        matched = message.match.path_separated_prefix or message.match.path or message.match.prefix
        return message.route.prefix_rewrite + path.removeprefix(matched)
    regex = message.route.regex_rewrite
    return re.sub(regex.pattern.regex, regex.substitution, path)


@pytest.mark.parametrize(
    ("kind", "value", "replacement", "path", "result"),
    [
        (PathKind.PREFIX, "/a", "/b", "/a/x", "/b/x"),
        (PathKind.PREFIX, "/a", "/b/", "/a/x", "/b/x"),
        (PathKind.PREFIX, "/a/", "/b", "/a", "/b"),
        (PathKind.PREFIX, "/a", "/", "/a/x", "/x"),
        (PathKind.PREFIX, "/a", "/", "/a", "/"),
        (PathKind.PREFIX, "/", "/b", "/x", "/b/x"),
        (PathKind.PREFIX, "/", "/", "/x", "/x"),
        (PathKind.EXACT, "/a", "/b/c", "/a", "/b/c"),
        (PathKind.TEMPLATE, "/users/{id}", "/u", "/users/1", "/u/1"),
        (PathKind.TEMPLATE, "/users/{id}", "/", "/users/1", "/1"),
        (PathKind.TEMPLATE, "/{id}", "/u", "/1", "/u/1"),
        (PathKind.REGEX, "/api/v[12]/.*", "/x", "/api/v1/y", "/x/v1/y"),
    ],
)
def test_replacing_a_prefix_neither_loses_nor_doubles_a_slash(
    kind: PathKind, value: str, replacement: str, path: str, result: str
) -> None:
    rewrite = PathRewriteIR(RewriteKind.PREFIX, replacement)
    assert rewritten(kind, value, rewrite, path) == result


def test_a_full_replacement_takes_a_backslash_literally() -> None:
    rewrite = PathRewriteIR(RewriteKind.FULL, r"/x\1")
    assert rewritten(PathKind.PREFIX, "/a", rewrite, "/a/b") == r"/x\1"


def test_a_forward_carries_what_the_route_asks_for() -> None:
    action = Forward(
        (WeightedCluster("one", 3), WeightedCluster("two", 1), WeightedCluster("off", 0)),
        timeout_ms=1_500,
        idle_timeout_ms=0,
        retry=RetryPolicy(2, ("connect-failure",), (503,), per_try_timeout_ms=100),
        mirrors=(MirrorIR("shadow", 0.5),),
        host_rewrite="in.example.com",
        hash_policy=HashPolicy(cookie="sticky", cookie_ttl_ms=1000),
        websocket=True,
    )
    (message,) = build_route(route(action), (), ())
    made = message.route
    assert [(each.name, each.weight.value) for each in made.weighted_clusters.clusters] == [
        ("one", 3),
        ("two", 1),
    ]
    assert made.timeout.ToMilliseconds() == 1_500
    assert made.HasField("idle_timeout")
    assert made.retry_policy.retry_on == "connect-failure,retriable-status-codes"
    assert made.request_mirror_policies[0].runtime_fraction.default_value.numerator == 5_000
    assert made.host_rewrite_literal == "in.example.com"
    assert made.hash_policy[0].cookie.ttl.seconds == 1
    assert made.upgrade_configs[0].upgrade_type == "websocket"
    assert clusters_of(route(action)) == ("one", "two", "shadow")


def test_a_single_destination_needs_no_weights() -> None:
    (message,) = build_route(route(Forward(ONE)), (), ())
    assert message.route.cluster == "one"


def test_a_forward_without_any_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight above 0"):
        build_route(route(Forward((WeightedCluster("one", 0),))), (), ())


def test_a_direct_response_carries_its_message_as_body() -> None:
    (message,) = build_route(route(DirectResponse(503, "no backend")), (), ())
    assert message.direct_response.body.inline_string == "no backend"


def test_a_route_for_api_keys_becomes_one_message_for_each_place_of_a_key() -> None:
    match = RouteMatch(
        PathMatch(PathKind.PREFIX, "/a"), credential=CredentialClass.API_KEY, methods=("GET", "PUT")
    )
    messages = build_route(route(Forward(ONE), match), ("flc_",), ())
    assert [message.match.headers[-1].name for message in messages] == [
        "apikey",
        "x-api-key",
        "authorization",
    ]
    assert {message.match.headers[0].string_match.safe_regex.regex for message in messages} == {
        "GET|PUT"
    }
