"""From configs of transforms and answers to the IR."""

from __future__ import annotations

import pytest
from unit.translator.world import World, edge, obj, route

from fluxgate.ir import DirectResponse, Forward, Redirect
from fluxgate.ir.policies.compression import Compression, CompressionUse
from fluxgate.ir.policies.transform import (
    BodyChange,
    Change,
    HeaderChange,
    Part,
    RequestTransform,
    Source,
)
from fluxgate.translator.plugins.body_changes import steps_of
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.typeurl import LISTENER


def use(kind: str, config: dict, **more: object) -> dict:
    return {"type": kind, "config": config, **more}


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("a", ("a",)),
        ("a.0.b-c", ("a", "0", "b-c")),
        ("a.*.b", ("a", None, "b")),
        ("/a/*/b.c", ("a", "*", "b.c")),
        ("/a~1b/~0/", ("a/b", "~", "")),
    ],
)
def test_a_path_has_its_steps(path: str, steps: tuple[str | None, ...]) -> None:
    assert steps_of(path) == steps


@pytest.mark.parametrize("path", ["", "a..b", ".a", "a.", "/a~2", "/~", ".".join("a" * 17)])
def test_a_path_that_leads_nowhere_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"step|Pointer"):
        steps_of(path)


def test_changes_come_in_the_order_in_which_they_happen_and_maps_by_name() -> None:
    config = {
        "headers": {"remove": ["C"], "set": {"Z": "1", "a": "2"}, "rename": {"b": "d"}},
        "body": {"set": {"y": 1, "x": "t"}, "remove": ["r"], "add": {"w": None},
                 "rename": {"n": "m"}},
    }  # fmt: skip
    world = World(edge(), route(plugins=[use("request-transform", config)]))
    transform = world.route.policy(RequestTransform)
    assert transform is not None
    assert transform.body is not None
    assert transform.headers == (
        HeaderChange(Change.SET, "a", (Part(Source.TEXT, "2"),)),
        HeaderChange(Change.SET, "z", (Part(Source.TEXT, "1"),)),
        HeaderChange(Change.RENAME, "b", to="d"),
        HeaderChange(Change.REMOVE, "c"),
    )
    assert transform.body.changes == (
        BodyChange(Change.RENAME, ("n",), to="m"),
        BodyChange(Change.REMOVE, ("r",)),
        BodyChange(Change.SET, ("x",), (Part(Source.TEXT, "t"),)),
        BodyChange(Change.SET, ("y",), json="1"),
        BodyChange(Change.ADD, ("w",), json="null"),
    )


def test_a_config_that_changes_nothing_leaves_nothing() -> None:
    uses = [use("request-transform", {}), use("response-transform", {})]
    assert World(edge(), route(plugins=uses)).route.policies == ()


def test_a_type_of_the_route_itself_is_nearer_than_its_plugin() -> None:
    world = World(
        edge(),
        route(
            plugins=[use("request-transform", {"path": {"type": "ReplaceFull", "value": "/p"}})],
            rewrite={"host": "own.test"},
        ),
    )
    action = world.route.action
    assert isinstance(action, Forward)
    assert action.path_rewrite is not None
    assert (action.path_rewrite.value, action.host_rewrite) == ("/p", "own.test")


def test_routes_without_backends_may_answer_by_themselves() -> None:
    redirect = route("a", plugins=[use("redirect", {"path": "/x"})], backends=[])
    world = World(edge(), redirect)
    assert (world.verdict("Route", "a"), world.route.action) == (
        (True, "Accepted"),
        Redirect(302, path="/x"),
    )
    answer = route("a", plugins=[use("direct-response", {"body": "x"})], backends=[])
    assert World(edge(), answer).route.action == DirectResponse(
        200, "x", "text/plain; charset=utf-8", verbatim=True
    )


def test_routes_that_compress_alike_share_one_object() -> None:
    plugin = obj("Plugin", "p", {"type": "compression",
                                 "targets": [{"kind": "GatewayConfig", "name": "edge"}]})  # fmt: skip
    own = [use("compression", {"minLength": 99})]
    routes = [route(f"r{n}", matches=[{"path": {"value": f"/{n}"}}]) for n in range(3)]
    world = World(
        edge(), plugin, *routes, route("own", matches=[{"path": {"value": "/o"}}], plugins=own)
    )
    used = {policy.name for each in world.routes() if (policy := each.policy(CompressionUse))}
    assert {each.name for each in world.gateway.shared_of(Compression)} == used
    assert len(used) == 2


EVERYTHING = [
    use("request-transform", {"headers": {"set": {"x-a": "1"}}, "body": {"set": {"a": 1}}}),
    use("response-transform", {"body": {"set": {"a": 1}}}),
    use("response-size", {"maxBytes": 9}),
    use("security-headers", {}),
    use("compression", {}),
    use("fault", {"abort": {"status": 503}}),
    use("request-termination", {}),
]


def test_no_policy_of_a_route_changes_a_listener() -> None:
    plain = build_snapshot(World(edge(), route()).gateway)
    changed = build_snapshot(World(edge(), route(plugins=EVERYTHING)).gateway)
    direct = build_snapshot(World(edge(), route(plugins=[use("direct-response", {})])).gateway)
    assert plain.resources[LISTENER] == changed.resources[LISTENER] == direct.resources[LISTENER]
