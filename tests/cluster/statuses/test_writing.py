"""The status writer against the real API server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from support.fault_proxy import FaultProxy
from support.statuses import (
    ACCEPTED,
    PENDING,
    ROUTES,
    SERVED,
    Book,
    Facts,
    conditions,
    create_routes,
    ref_of,
    running,
    until,
)

from fluxgate.errors import FieldProblem
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts
from fluxgate_operator.statuses import Outlook, StatusSettings, StatusWriter

GATEWAYS = next(each for each in OUR_TYPES if each.kind == "GatewayConfig")
QUICK = StatusSettings(pending_seconds=0.1, lost_seconds=0.3, backoff=0.02)
PATIENT = StatusSettings(pending_seconds=600, lost_seconds=600)


class World:
    """One namespace, one writer."""

    def __init__(self, kube: KubeClient, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace
        self.facts = Facts(kube, namespace)
        self.book = Book()
        self.leading = True

    def writer(
        self,
        settings: StatusSettings = QUICK,
        kube: KubeClient | None = None,
        behind: Callable[[], bool] = lambda: False,
    ) -> StatusWriter:
        return StatusWriter(
            kube or self.kube,
            self.facts,
            Outlook(self.book.read, lambda: self.leading, behind=behind),
            structlog.get_logger(),
            settings,
        )

    async def routes(self, *names: str) -> None:
        await create_routes(self.kube, self.namespace, list(names))
        await self.facts.refresh()

    async def version(self, name: str) -> str:
        found = await self.kube.get(ROUTES, self.namespace, name)
        return str(found["metadata"]["resourceVersion"])


@pytest.fixture
async def world(kube: KubeClient, namespace: str) -> World:
    return World(kube, namespace)


async def test_a_change_that_arrives_in_time_costs_one_patch(world: World) -> None:
    await world.routes("a")
    ref, writer = ref_of(world.namespace, "a"), world.writer(PATIENT)
    async with running(writer.run):
        world.book.say(ref, ACCEPTED, PENDING)
        writer.poke()
        await until(lambda: writer.counters.compared == 1)
        world.book.say(ref, ACCEPTED, SERVED)
        writer.poke()
        await until(lambda: writer.counters.written == 1)
    found = await conditions(world.kube, ref)
    assert found["Programmed"]["status"] == "True"
    assert found["Accepted"]["observedGeneration"] == 1
    assert writer.counters.written == 1


async def test_what_does_not_arrive_is_said_to_be_pending(world: World) -> None:
    await world.routes("a")
    ref, writer = ref_of(world.namespace, "a"), world.writer()
    world.book.say(ref, ACCEPTED, PENDING)
    async with running(writer.run):
        await until(lambda: writer.counters.written == 1)
    assert (await conditions(world.kube, ref))["Programmed"]["message"] == PENDING.message


async def test_a_status_that_is_there_already_costs_no_request(
    world: World, fault_proxy: FaultProxy
) -> None:
    await world.routes("a", "b")
    refs = [ref_of(world.namespace, name) for name in "ab"]
    for ref in refs:
        world.book.say(ref, ACCEPTED, SERVED)
    first = world.writer()
    async with running(first.run):
        await until(lambda: first.counters.written == 2)
    await world.facts.refresh()
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with KubeClient(access) as watched:
        second = world.writer(kube=watched)
        async with running(second.run):
            await until(lambda: second.counters.compared == 2)
            for ref in refs:
                world.book.say(ref, ACCEPTED, SERVED)
            second.poke()
            await until(lambda: second.counters.compared == 4)
    assert fault_proxy.seen == ()


async def test_the_fields_and_conditions_of_others_stay(world: World) -> None:
    await world.routes("a")
    ref = ref_of(world.namespace, "a")
    theirs = {
        "type": "example.com/Reviewed",
        "status": "True",
        "reason": "Yes",
        "message": "",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }
    await world.kube.merge_patch(
        ROUTES, ref.namespace, ref.name, {"status": {"conditions": [theirs]}}, subresource="status"
    )
    await world.facts.refresh()
    world.book.say(ref, ACCEPTED, SERVED)
    writer = world.writer()
    async with running(writer.run):
        await until(lambda: writer.counters.written == 1)
    assert (await conditions(world.kube, ref))["example.com/Reviewed"]["reason"] == "Yes"


async def test_a_competing_write_is_never_overwritten_unseen(world: World) -> None:
    await world.routes("a")
    ref = ref_of(world.namespace, "a")
    patch = {"metadata": {"labels": {"theirs": "yes"}}}
    await world.kube.merge_patch(ROUTES, ref.namespace, ref.name, patch)
    world.book.say(ref, ACCEPTED, SERVED)
    writer = world.writer()
    async with running(writer.run):
        await until(lambda: writer.counters.conflicts == 1)
        compared = writer.counters.compared
        await until(lambda: writer.counters.compared > compared + 2)
        assert writer.counters.conflicts == 1, "asked again without having seen anything new"
        assert await conditions(world.kube, ref) == {}
        await world.facts.refresh()
        await until(lambda: writer.counters.written == 1)
    assert (await conditions(world.kube, ref))["Programmed"]["status"] == "True"


async def test_two_changes_in_a_row_do_not_wait_for_the_watch(world: World) -> None:
    await world.routes("a")
    ref, writer = ref_of(world.namespace, "a"), world.writer()
    world.book.say(ref, ACCEPTED, SERVED)
    async with running(writer.run):
        await until(lambda: writer.counters.written == 1)
        world.book.say(ref, replace(ACCEPTED, message="two"), SERVED)
        writer.poke()
        await until(lambda: writer.counters.written == 2)
    assert writer.counters.conflicts == 0
    assert (await conditions(world.kube, ref))["Accepted"]["message"] == "two"


async def test_an_object_deleted_meanwhile_is_let_go(world: World) -> None:
    await world.routes("a", "b")
    gone, there = ref_of(world.namespace, "a"), ref_of(world.namespace, "b")
    await world.kube.delete(ROUTES, gone.namespace, gone.name)
    world.book.say(gone, ACCEPTED, SERVED)
    world.book.say(there, ACCEPTED, SERVED)
    writer = world.writer()
    async with running(writer.run):
        await until(lambda: writer.counters.written == 1 and not writer.waiting)
    assert writer.counters.failed == 0


async def test_what_our_models_cannot_read_is_told_every_problem(world: World) -> None:
    await world.routes("a")
    ref = ref_of(world.namespace, "a")
    problems = (FieldProblem("spec.x", "unknown field"), FieldProblem("spec.y", "too long"))
    world.facts.trouble[ref] = replace(world.facts.known[ref], problems=problems)
    writer = world.writer()
    async with running(writer.run):
        await until(lambda: writer.counters.written == 1)
    accepted = (await conditions(world.kube, ref))["Accepted"]
    assert (accepted["status"], accepted["reason"]) == ("False", "Invalid")
    assert accepted["message"] == "spec.x: unknown field; spec.y: too long"


async def test_whoever_does_not_lead_writes_nothing_and_catches_up_when_it_does(
    world: World,
) -> None:
    await world.routes("a")
    ref = ref_of(world.namespace, "a")
    world.leading = False
    world.book.say(ref, ACCEPTED, SERVED)
    writer = world.writer()
    async with running(writer.run):
        writer.poke()
        await asyncio.sleep(0)
        assert writer.counters.compared == 0
        world.leading = True
        writer.poke()
        await until(lambda: writer.counters.written == 1)
    assert (await conditions(world.kube, ref))["Programmed"]["status"] == "True"


@pytest.mark.parametrize("code", [429, 503, 403, 401])
async def test_trouble_of_the_api_server_delays_a_status_and_loses_none(
    world: World, fault_proxy: FaultProxy, code: int
) -> None:
    await world.routes("a", "b", "c")
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with KubeClient(access) as broken:
        writer = world.writer(kube=broken)
        fault_proxy.answer(code)
        for name in "abc":
            world.book.say(ref_of(world.namespace, name), ACCEPTED, SERVED)
        async with running(writer.run):
            await until(lambda: writer.counters.failed >= 3)
            fault_proxy.heal()
            await until(lambda: writer.counters.written == 3)
    for name in "abc":
        found = await conditions(world.kube, ref_of(world.namespace, name))
        assert found["Programmed"]["status"] == "True"


async def test_a_flood_of_statuses_delays_neither_a_single_one_nor_the_event_loop(
    world: World,
) -> None:
    """2,000 objects here; ``bench/statuses.py`` does it with 10,000."""
    names = [f"r{number}" for number in range(2000)]
    await world.routes(*names, "urgent")
    writer = world.writer(PATIENT)
    urgent = ref_of(world.namespace, "urgent")
    turns: list[float] = []

    async def watch() -> None:
        while True:
            # what the loop's thread worked between two turns of ours, not what others took from it
            began = time.thread_time()
            await asyncio.sleep(0.001)
            turns.append(time.thread_time() - began)

    async with running(writer.run, watch):
        for name in names:
            world.book.say(ref_of(world.namespace, name), ACCEPTED, SERVED)
        writer.poke()
        await until(lambda: writer.counters.written > 50)
        before = writer.counters.written
        assert before < len(names) / 2, "the flood is nearly over: nothing would be shown"
        world.book.say(urgent, ACCEPTED, SERVED)
        writer.poke()
        await until(lambda: writer.counters.written == len(names) + 1)
    listed = (await world.kube.list(ROUTES, world.namespace)).items
    written = {
        each["metadata"]["name"]: int(each["metadata"]["resourceVersion"]) for each in listed
    }
    earlier = sum(version < written["urgent"] for version in written.values())
    assert earlier - before < len(names) / 10, "it had its turn in the flood"
    assert max(turns) < 0.25, "the figure of a quiet machine is in bench/statuses.py"


async def test_when_very_many_wait_the_nodes_come_first_and_one_patch_each_is_enough(
    world: World,
) -> None:
    names = [f"r{number}" for number in range(12)]
    await world.routes(*names)
    nodes_are_behind = True
    settings = replace(QUICK, pending_seconds=0, bulk=10, bulk_seconds=600)
    writer = world.writer(settings, behind=lambda: nodes_are_behind)
    async with running(writer.run):
        for name in names:
            world.book.say(ref_of(world.namespace, name), ACCEPTED, PENDING)
        writer.poke()
        await until(lambda: writer.waiting == len(names))
        assert writer.counters.compared == 0
        for name in names:
            world.book.say(ref_of(world.namespace, name), ACCEPTED, SERVED)
        nodes_are_behind = False
        writer.poke()
        await until(lambda: writer.counters.written == len(names))
    assert writer.counters.compared == len(names)


@pytest.mark.parametrize(("many", "seconds"), [(12, 0.2), (10, 600)], ids=["for a while", "a few"])
async def test_nodes_that_never_come_hold_up_only_very_many_and_only_for_a_while(
    world: World, many: int, seconds: float
) -> None:
    names = [f"r{number}" for number in range(many)]
    await world.routes(*names)
    settings = replace(QUICK, pending_seconds=0, bulk=10, bulk_seconds=seconds)
    writer = world.writer(settings, behind=lambda: True)
    async with running(writer.run):
        for name in names:
            world.book.say(ref_of(world.namespace, name), ACCEPTED, PENDING)
        writer.poke()
        await until(lambda: writer.counters.written == many)


async def test_fields_besides_the_conditions_follow_by_themselves(world: World) -> None:
    """A gateway's nodes and addresses change without any condition of its changing."""
    config = {
        "apiVersion": GATEWAYS.api_version,
        "kind": "GatewayConfig",
        "metadata": {"name": "main"},
        "spec": {"listeners": [{"name": "http", "port": 8080}]},
    }
    made = (await world.kube.create(GATEWAYS, world.namespace, config))["metadata"]
    ref = ObjectRef("GatewayConfig", world.namespace, "main")
    world.facts.known[ref] = ObjectFacts(ref, made["uid"], made["resourceVersion"], 1)
    nodes = {"connected": 1, "serving": 0}
    writer = StatusWriter(
        world.kube,
        world.facts,
        Outlook(world.book.read, lambda: True, lambda _: {"nodes": dict(nodes)}),
        structlog.get_logger(),
        PATIENT,
    )
    world.book.say(ref, ACCEPTED, SERVED)
    async with running(writer.run):
        await until(lambda: writer.counters.written == 1)
        nodes["serving"] = 1
        writer.poke()
        await until(lambda: writer.counters.written == 2)
    found = await world.kube.get(GATEWAYS, world.namespace, "main")
    assert found["status"]["nodes"] == {"connected": 1, "serving": 1}
