"""What is tried before it is published, with a judge the test controls in Envoy's place."""

from __future__ import annotations

import structlog
import yaml
from google.protobuf.message import Message
from support.documents import Document, gateway, obj, route

from fluxgate.api.parse import parse_object
from fluxgate.ir import Gateway
from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate.translator import TranslateOptions, translate
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.pipeline import SetAsides
from fluxgate_operator.vetting import Vetting

ADMITTING = gateway(extensions={"allow": ["lua"]})


class Judge:
    """Refuses, or does not get done with, what holds a word; counts what it was asked."""

    def __init__(self, refused: str = "xbadx", endless: str = "xendlessx") -> None:
        self.refused, self.endless = refused.encode(), endless.encode()
        self.asked = 0
        self.there = True

    async def validate(self, bootstrap: Message) -> Validation:
        self.asked += 1
        payload = bootstrap.SerializeToString()
        if not self.there or self.endless in payload:
            return Validation(Verdict.UNKNOWN, "Envoy did not answer within 20 s")
        if self.refused in payload:
            return Validation(Verdict.REJECTED, "that is bad")
        return Validation(Verdict.OK)


class World:
    """Documents, what they translate to, and the vetting of it."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.vetting = Vetting(judge, structlog.get_logger())
        self.store = ResourceStore()
        self.set_aside: SetAsides = {}

    def put(self, *documents: Document) -> None:
        for each in documents:
            self.store.upsert(parse_object(yaml.safe_load(yaml.safe_dump(each))))

    def built(self) -> tuple[Resources, dict[str, Gateway]]:
        resources = self.store.freeze()
        options = TranslateOptions(self.set_aside)
        return resources, dict(translate(resources, options).gateways)

    async def vet(self) -> set[str]:
        """The names of the objects that are set aside."""
        resources, gateways = self.built()
        if self.vetting.pending(gateways):
            found = await self.vetting.check(resources, self.set_aside, gateways)
            self.set_aside = {**self.set_aside, **found}
        return {ref.name for ref in self.set_aside}


def lua(source: str) -> Document:
    return {"lua": {"source": source}}


def plugin(name: str, source: str) -> Document:
    return obj("Plugin", name, {"type": "lua", "config": {"source": source}})


async def test_nothing_is_asked_where_there_is_no_code() -> None:
    world = World(Judge())
    world.put(ADMITTING, route("plain", 9), route("cors", 9, {"cors": {}}))
    assert await world.vet() == set()
    assert world.judge.asked == 0


async def test_a_policy_is_tried_once_however_many_routes_have_it() -> None:
    world = World(Judge())
    world.put(ADMITTING, plugin("good", "-- fine"))
    world.put(*(route(f"r{n}", 9, plugins=[{"name": "good"}]) for n in range(50)))
    assert await world.vet() == set()
    asked = world.judge.asked
    assert asked <= 3
    world.put(route("another", 9, plugins=[{"name": "good"}]))
    assert await world.vet() == set()
    assert world.judge.asked == asked


async def test_the_plugin_that_envoy_refuses_is_set_aside_and_not_its_routes() -> None:
    world = World(Judge())
    world.put(ADMITTING, plugin("good", "-- fine"), plugin("bad", "-- xbadx"))
    world.put(
        route("a", 9, plugins=[{"name": "good"}]),
        route("b", 9, plugins=[{"name": "bad"}]),
        route("c", 9, plugins=[{"name": "bad"}]),
    )
    assert await world.vet() == {"bad"}
    assert set(world.set_aside) == {ObjectRef("Plugin", "default", "bad")}
    asked = world.judge.asked
    assert await world.vet() == {"bad"}
    assert world.judge.asked == asked


async def test_what_envoy_does_not_get_done_with_is_refused() -> None:
    world = World(Judge())
    world.put(ADMITTING, route("slow", 9, lua("-- xendlessx")), route("good", 9, lua("-- fine")))
    assert await world.vet() == {"slow"}


async def test_without_an_envoy_to_ask_nothing_is_set_aside() -> None:
    judge = Judge()
    judge.there = False
    world = World(judge)
    world.put(ADMITTING, route("code", 9, lua("-- xbadx")))
    assert await world.vet() == set()


async def test_a_changed_policy_is_tried_again() -> None:
    world = World(Judge())
    world.put(ADMITTING, route("code", 9, lua("-- fine")))
    assert await world.vet() == set()
    world.put(route("code", 9, lua("-- xbadx")))
    assert await world.vet() == {"code"}
