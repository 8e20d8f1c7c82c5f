"""The search for what Envoy refuses, with a judge the test controls in Envoy's place."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import yaml
from google.protobuf.message import Message
from support.resources import GATEWAY, document, upstream

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.translator import translate
from fluxgate.xds import typeurl
from fluxgate_operator.culprits import Culprits, World, find_culprits, first_refused
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.mentions import made_from

BOTH = (typeurl.ROUTE, typeurl.CLUSTER)


class Judge:
    """Refuses what holds one of its words, and remembers everything it was shown."""

    def __init__(self, *words: str) -> None:
        self.words = [word.encode() for word in words]
        self.seen: list[bytes] = []

    async def validate(self, bootstrap: Message) -> Validation:
        payload = bootstrap.SerializeToString()
        self.seen.append(payload)
        for word in self.words:
            if word in payload:
                return Validation(Verdict.REJECTED, f"{word.decode()} is bad")
        return Validation(Verdict.OK)


def route(name: str, path: str, to: str = "pool", **spec: object) -> str:
    return document(
        "Route",
        name,
        {
            "matches": [{"path": {"value": path}}],
            "backends": [{"kind": "Upstream", "name": to}],
            **spec,
        },
    )


def world(*documents: str) -> World:
    store = ResourceStore()
    for text in (GATEWAY, *documents):
        for parsed in yaml.safe_load_all(text):
            store.upsert(parse_object(parsed))
    resources = store.freeze()
    return World(resources, {}, translate(resources).gateways["main"])


async def found(
    which: World, judge: Judge, types: Sequence[str] = BOTH, groups: object = None
) -> Culprits:
    return await find_culprits(which, judge, types, groups or [lambda _: True])  # type: ignore[arg-type]


def names(culprits: Culprits) -> set[str]:
    return {str(ref) for ref in culprits}


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
async def test_the_smallest_refused_prefix_ends_with_the_culprit(count: int) -> None:
    for culprit in range(count):
        asked = 0

        async def trial(_: int, high: int, culprit: int = culprit) -> Validation:
            nonlocal asked
            asked += 1
            return Validation(Verdict.REJECTED if culprit < high else Verdict.OK, "words")

        assert await first_refused(count, trial, "words") == (culprit, "words")
        assert asked <= (count - 1).bit_length()


async def test_the_route_that_is_refused_is_found_among_many() -> None:
    many = [route(f"r{number}", f"/r{number}") for number in range(50)]
    culprits = await found(world(upstream("pool", 9), *many, route("x", "/bad")), Judge("/bad"))
    assert culprits == {ObjectRef("Route", "default", "x"): "/bad is bad"}


async def test_every_culprit_is_found_and_no_other() -> None:
    many = [
        route(f"r{number}", f"/{'bad' if number % 7 == 3 else 'r'}{number}") for number in range(30)
    ]
    culprits = await found(world(upstream("pool", 9), *many), Judge("/bad"))
    assert names(culprits) == {f"Route default/r{number}" for number in (3, 10, 17, 24)}


async def test_a_bad_upstream_is_blamed_and_not_the_good_route_to_it() -> None:
    pools = [upstream(f"u{number}", 100 + number) for number in range(10)]
    bad = upstream("worst", 9, targets=[{"host": "192.0.2.66", "port": 9}])
    culprits = await found(
        world(*pools, bad, route("a", "/a", "worst"), route("b", "/b", "u1")),
        Judge("192.0.2.66"),
        (typeurl.CLUSTER,),
    )
    assert names(culprits) == {"Upstream default/worst"}


async def test_what_a_route_takes_from_a_plugin_is_blamed_on_the_plugin() -> None:
    cors = {"type": "cors", "config": {"allowOrigins": ["https://bad.example.com"]}}
    culprits = await found(
        world(
            upstream("pool", 9),
            document("Plugin", "shared", cors),
            route("a", "/a", plugins=[{"name": "shared"}]),
            route("b", "/b", plugins=[{"name": "shared"}]),
            route("c", "/c"),
        ),
        Judge("bad.example.com"),
    )
    assert names(culprits) == {"Plugin default/shared"}


async def test_the_first_group_that_holds_a_culprit_suffices_and_carries_nothing_else() -> None:
    many = [route(f"r{number}", f"/r{number}") for number in range(200)]
    judge = Judge("/bad")
    culprits = await found(
        world(upstream("pool", 9), *many, route("x", "/bad")),
        judge,
        groups=[lambda refs: refs[0].name == "x", lambda _: True],
    )
    assert names(culprits) == {"Route default/x"}
    assert not any(
        b"/r" + str(number).encode() in seen for number in range(200) for seen in judge.seen
    )


async def test_when_the_likely_suspects_are_innocent_the_others_are_asked() -> None:
    culprits = await found(
        world(upstream("pool", 9), route("new", "/new"), route("x", "/bad")),
        Judge("/bad"),
        groups=[lambda refs: refs[0].name == "new", lambda _: True],
    )
    assert names(culprits) == {"Route default/x"}


async def test_nothing_is_found_when_everything_is_accepted() -> None:
    assert await found(world(upstream("pool", 9), route("a", "/a")), Judge()) == {}


async def test_nothing_is_blamed_when_the_gateway_itself_is_refused() -> None:
    which = world(upstream("pool", 9), route("a", "/a"))
    assert await found(which, Judge("http_connection_manager"), (typeurl.LISTENER,)) == {}


def test_an_object_is_made_from_what_it_mentions_directly_or_not() -> None:
    which = world(
        upstream("pool", 9),
        upstream("other", 9),
        document("Backend", "between", {"upstream": "pool"}),
        route("a", "/a")
        .replace("kind: Upstream", "kind: Backend")
        .replace("name: pool", "name: between"),
    )
    refs = made_from(which.resources, [ObjectRef("Route", "default", "a")])
    assert {ref.name for ref in refs} == {"a", "between", "pool"}
