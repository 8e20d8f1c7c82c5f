"""What becomes of health: one word a target, a list in the status, a report to other replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from support.gateway import cluster, gateway

from fluxgate.ir import ActiveCheck, EndpointIR, Health
from fluxgate.resources import ObjectRef
from fluxgate_operator.health import Ailment, HealthBook, HealthStatuses, TargetState, pools_of
from fluxgate_operator.replicas.report import Report, decode, encode

CHECK = ActiveCheck("TCP", "/", "", "", 1000, 1000, 1, 1, (200,))
NAME = "upstream/default/u/12345678"
UPSTREAM = ObjectRef("Upstream", "default", "u")
A, B = "10.0.0.1:1", "10.0.0.2:2"
ONE, TWO = ("main", "one"), ("main", "two")
FAILED, EJECTED = (Ailment.CHECK_FAILED,), (Ailment.EJECTED,)


def pool(said: dict, *, check: ActiveCheck | None = CHECK, by_hand: Health = Health.AUTO):
    endpoints = (EndpointIR("10.0.0.1", 1), EndpointIR("10.0.0.2", 2, health=by_hand))
    served = gateway((), (cluster(NAME, endpoints=endpoints, active_check=check),))
    (found,) = pools_of({"main": served}, said)
    return found


def states(*said: object, **more: object) -> list[TargetState]:
    found = pool(*said, **more)
    return [found.state_of(each) for each in found.targets]


class TestStates:
    def test_a_target_is_what_all_nodes_say(self):
        ill, well = {NAME: {B: FAILED}}, {}
        assert states({ONE: well, TWO: well})[1] is TargetState.HEALTHY
        assert states({ONE: ill, TWO: ill})[1] is TargetState.UNHEALTHY
        assert states({ONE: ill, TWO: well})[1] is TargetState.PARTLY_HEALTHY

    def test_without_a_check_or_a_node_nobody_knows(self):
        assert states({ONE: {}}, check=None)[0] is TargetState.NOT_CHECKED
        assert states({})[0] is TargetState.UNKNOWN
        assert states({("other", "node"): {}})[0] is TargetState.UNKNOWN

    @pytest.mark.parametrize(
        ("by_hand", "state"),
        [(Health.UNHEALTHY, TargetState.UNHEALTHY), (Health.HEALTHY, TargetState.HEALTHY)],
    )
    def test_what_is_said_by_hand_needs_no_node(self, by_hand, state):
        assert states({}, by_hand=by_hand)[1] is state

    def test_reasons_come_from_every_cluster_of_a_pool(self):
        endpoints = (EndpointIR("10.0.0.2", 2),)
        other = "upstream/default/u/87654321"
        both = [cluster(each, endpoints=endpoints, active_check=CHECK) for each in (NAME, other)]
        said = {ONE: {NAME: {B: FAILED}, other: {B: EJECTED}}}
        (found,) = pools_of({"main": gateway((), both)}, said)
        assert found.upstream == UPSTREAM
        assert found.targets[0].ailments == (Ailment.CHECK_FAILED, Ailment.EJECTED)

    def test_a_pool_of_a_service_belongs_to_no_upstream(self):
        served = gateway((), (cluster("service/default/s:80/12345678"),))
        (found,) = pools_of({"main": served}, {})
        assert (found.pool, found.upstream) == ("service/default/s:80", None)


class Statuses:
    """HealthStatuses over a book and a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looked: list[ObjectRef] = []
        self.book = HealthBook()
        self.told = asyncio.Event()
        self.statuses = HealthStatuses(self.book, self.look, rest=15.0, clock=lambda: self.now)

    def look(self, refs: Iterable[ObjectRef]) -> None:
        self.looked.extend(refs)
        self.told.set()

    def says(self) -> object:
        return self.statuses.extras(UPSTREAM)["unhealthyTargets"]


@pytest.fixture
async def statuses():
    made = Statuses()
    task = asyncio.create_task(made.statuses.run())
    await asyncio.sleep(0)
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_status_lists_the_targets_some_node_sends_nothing(statuses: Statuses) -> None:
    assert statuses.says() is None
    statuses.book.put(ONE, {NAME: {B: FAILED}})
    statuses.book.put(TWO, {NAME: {B: EJECTED, A: EJECTED}})
    await statuses.told.wait()
    assert statuses.looked == [UPSTREAM]
    assert statuses.says() == [
        {"address": A, "nodes": 1, "reasons": ["Ejected"]},
        {"address": B, "nodes": 2, "reasons": ["CheckFailed", "Ejected"]},
    ]


async def test_a_target_that_flaps_is_told_of_once_in_a_while(statuses: Statuses) -> None:
    for number in range(100):
        statuses.book.put(ONE, {NAME: {B: FAILED}} if number % 2 == 0 else {})
        await settle()
    assert statuses.looked == [UPSTREAM]
    statuses.now = 15.0
    statuses.book.put(TWO, {})
    await settle()
    assert statuses.looked == [UPSTREAM, UPSTREAM]
    assert statuses.says() is None


async def test_what_rests_is_told_when_its_time_has_come_without_further_news() -> None:
    made = Statuses()
    made.statuses = HealthStatuses(made.book, made.look, rest=0.05)
    task = asyncio.create_task(made.statuses.run())
    await asyncio.sleep(0)
    made.book.put(ONE, {NAME: {B: FAILED}})
    await made.told.wait()
    made.told.clear()
    made.book.put(ONE, {})
    async with asyncio.timeout(60):
        await made.told.wait()
    assert made.says() is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_book_that_hears_the_same_again_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    book, woken = HealthBook(), []
    monkeypatch.setattr(type(book.changed), "notify", lambda _: woken.append(1))
    book.put(ONE, {NAME: {B: FAILED}})
    book.put(ONE, {NAME: {B: FAILED}})
    book.forget(TWO)
    assert len(woken) == 1


def test_our_own_word_counts_where_another_replica_knows_the_node_too() -> None:
    book = HealthBook(lambda: {ONE: {NAME: {A: FAILED}}, TWO: {NAME: {A: FAILED}}})
    book.put(ONE, {})
    assert book.everywhere() == {ONE: {}, TWO: {NAME: {A: FAILED}}}


def test_health_goes_to_other_replicas_and_comes_back_the_same() -> None:
    health = {ONE: {NAME: {B: FAILED + EJECTED}}, TWO: {}}
    _, report = decode(encode("a", Report(health=health), 0.0), 0.0)
    assert report.health == health


def test_a_replica_of_an_older_version_says_nothing_of_health() -> None:
    plain = encode("a", Report(), 0.0).replace(b',"health":[]', b"")
    assert decode(plain, 0.0)[1].health == {}
