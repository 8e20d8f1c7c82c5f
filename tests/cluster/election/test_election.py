"""Leader election against the real API server. Leases here last seconds, not fifteen of them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import structlog
from support.cluster import ControlPlane
from support.fault_proxy import FaultProxy
from support.statuses import conditions, create_routes, ref_of, running, until

from fluxgate_operator.election import LeaseElection
from fluxgate_operator.election.clock import uptime
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import LEASES
from fluxgate_operator.settings import LeaseSettings

SHORT = LeaseSettings("test", duration=2, renew_deadline=1.2, retry_period=0.2, poll_period=0.1)
LONG = replace(SHORT, duration=60, renew_deadline=45)
"""None expires in a test, however busy the machine is."""


def election(
    kube: KubeClient, namespace: str, identity: str, settings: LeaseSettings = SHORT
) -> LeaseElection:
    return LeaseElection(kube, namespace, identity, settings, structlog.get_logger())


async def test_of_three_candidates_one_leads_and_each_leads_in_its_turn(
    kube: KubeClient, namespace: str
) -> None:
    candidates = {name: election(kube, namespace, name, LONG) for name in "abc"}
    tasks = {name: asyncio.create_task(each.run()) for name, each in candidates.items()}
    samples = asyncio.create_task(_sample(list(candidates.values())))
    leaders = []
    while tasks:
        await until(lambda: any(candidates[name].leading for name in tasks))
        leader = next(name for name in tasks if candidates[name].leading)
        leaders.append(leader)
        await until(lambda: len({candidates[name].leader for name in tasks}) == 1)
        task = tasks.pop(leader)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    samples.cancel()
    assert sorted(leaders) == ["a", "b", "c"]
    assert max(samples_taken) == 1
    lease = await kube.get(LEASES, namespace, "test")
    assert lease["spec"]["holderIdentity"] == ""


samples_taken: list[int] = []


async def _sample(candidates: list[LeaseElection]) -> None:
    """How many lead, at every step of the event loop."""
    samples_taken.clear()
    while True:
        samples_taken.append(sum(each.leading for each in candidates))
        await asyncio.sleep(0.001)


async def test_a_graceful_end_hands_over_at_the_next_look_of_another(
    kube: KubeClient, control_plane: ControlPlane, namespace: str
) -> None:
    looks: Counter[str] = Counter()
    access = await load_access(control_plane.kubeconfig, None, {})
    async with KubeClient(access, observe=lambda method, _code: looks.update([method])) as watched:
        # nobody looks by itself in this test, and nothing expires
        calm = replace(LONG, duration=600, poll_period=600)
        first, second = (
            election(kube, namespace, "a", LONG),
            election(watched, namespace, "b", calm),
        )
        going = asyncio.create_task(first.run())
        await until(lambda: first.leading)
        async with running(second.run):
            await until(lambda: second.leader == "a")
            going.cancel()
            await asyncio.gather(going, return_exceptions=True)
            assert not first.leading
            looks.clear()
            second.poke()
            await until(lambda: second.leading)
            assert looks["GET"] == 1
    assert LeaseSettings().poll_period < 1, "by itself it looks more than once a second"


async def test_an_outage_shorter_than_the_deadline_changes_nothing(
    kube: KubeClient, namespace: str, fault_proxy: FaultProxy
) -> None:
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with KubeClient(access) as unlucky:
        leader, other = (
            election(each, namespace, name, LONG) for each, name in ((unlucky, "a"), (kube, "b"))
        )
        async with running(leader.run):
            await until(lambda: leader.leading)
            async with running(other.run):
                for fail in (fault_proxy.refuse, lambda: fault_proxy.answer(429)):
                    fail()
                    await until(lambda: leader._trouble)
                    fault_proxy.heal()
                    await until(lambda: not leader._trouble or not leader.leading)
                    assert leader.leading
                    assert not other.leading


async def test_a_leader_that_is_cut_off_stops_before_another_begins(
    kube: KubeClient, namespace: str, fault_proxy: FaultProxy
) -> None:
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with KubeClient(access) as cut_off:
        leader, other = election(cut_off, namespace, "a"), election(kube, namespace, "b")
        async with running(leader.run):
            await until(lambda: leader.leading)
            async with running(other.run, lambda: _sample([leader, other])):
                await until(lambda: other.leader == "a")
                fault_proxy.black_hole()
                await until(lambda: other.leading)
                assert not leader.leading
                fault_proxy.heal()
                await until(lambda: leader.leader == "b")
                assert max(samples_taken) == 1


@asynccontextmanager
async def candidate(
    plane: ControlPlane, namespace: str, identity: str, duration: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A candidate that is a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.lease_candidate",
        str(plane.kubeconfig),
        namespace,
        identity,
        "a",
        str(duration),
        cwd=Path(__file__).parents[2],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process, words: str) -> None:
    """Wait until the candidate says so."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        while (line := (await process.stdout.readline()).decode().strip()) != words:
            assert line, "the candidate has ended"


def tell(process: asyncio.subprocess.Process, word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n".encode())


async def test_after_kill_minus_nine_another_takes_over_when_the_lease_has_expired(
    control_plane: ControlPlane, kube: KubeClient, namespace: str
) -> None:
    await create_routes(kube, namespace, ["a"])
    other = LeaseElection(kube, namespace, "other", SHORT, structlog.get_logger())
    async with candidate(control_plane, namespace, "victim", 2) as process:
        await told(process, "leading True")
        async with running(other.run):
            await until(lambda: other.leader == "victim")
            process.kill()
            began = uptime()
            await until(lambda: other.leading)
            assert uptime() - began > SHORT.renew_deadline


async def test_a_leader_that_was_stopped_and_goes_on_writes_nothing(
    control_plane: ControlPlane, kube: KubeClient, namespace: str
) -> None:
    await create_routes(kube, namespace, ["a"])
    ref = ref_of(namespace, "a")
    other = LeaseElection(kube, namespace, "other", SHORT, structlog.get_logger())
    async with candidate(control_plane, namespace, "sleeper", 2) as process:
        await told(process, "leading True")
        tell(process, "awake")
        while (await conditions(kube, ref)).get("Accepted", {}).get("message") != "awake":
            pass
        async with running(other.run):
            await until(lambda: other.leader == "sleeper")
            process.send_signal(signal.SIGSTOP)
            tell(process, "too-late")
            await until(lambda: other.leading)
            process.send_signal(signal.SIGCONT)
            await told(process, "leading False")
            tell(process, "far-too-late")
            assert process.stdin is not None
            process.stdin.close()
            assert await process.wait() == 0
            assert other.leading
    assert (await conditions(kube, ref))["Accepted"]["message"] == "awake"
    path = f"/namespaces/{namespace}/routes/a/status"
    patches = [
        event
        for event in control_plane.audit_events()
        if path in event["requestURI"] and event["userAgent"] == "candidate/sleeper"
    ]
    assert len(patches) == 1
