"""What kopf's replay of many objects does to the event loop that the xDS server shares.

    taskset -c 0,1 python -m bench.kopf_replay [objects]

Starts an API server of its own, makes that many Upstreams, and runs the provider twice: with its
lists only, and with kopf as in production. A ticker on the main loop, which in the
controller is the loop of the xDS server, notes how late it is woken. After the replay Upstreams
are made at a steady pace: how long from the request until an intake has them, the API server's
part included. At the end the CPU time and the memory of kopf's process, where it has one.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
import structlog

from fluxgate.resources import ResourceStore
from fluxgate_operator.collector import collector_paused
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes.provider import KubernetesProvider
from fluxgate_operator.settings import ClusterSettings
from tools.build_tools import Toolset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cluster import OwnControlPlane
from support.cluster_processes import ClusterProcesses

UPSTREAMS = next(each for each in OUR_TYPES if each.kind == "Upstream")
TICK = 0.001
CHANGES = 1000
PACE = 0.02
SETTLED = 3.0


def document(name: str) -> dict:
    return {
        "apiVersion": UPSTREAMS.api_version,
        "kind": "Upstream",
        "metadata": {"name": name},
        "spec": {"targets": [{"host": "192.0.2.1", "port": 80}]},
    }


async def make(client: KubeClient, count: int) -> None:
    waiting = iter(range(count))

    async def worker() -> None:
        for number in waiting:
            await client.create(UPSTREAMS, "default", document(f"u{number:05}"))

    await asyncio.gather(*(worker() for _ in range(32)))


async def tick(late: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - before - TICK)


class Arrivals:
    """An intake that notes when it heard of which Upstream."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}

    def put(self, document: dict) -> None:
        self.at.setdefault(document["metadata"]["name"], time.perf_counter())

    def drop(self, namespace: str, name: str) -> None:
        """Nothing is deleted here."""


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)] * 1e3


async def latencies(client: KubeClient, arrivals: Arrivals) -> list[float]:
    sent: dict[str, float] = {}
    posts = []
    for number in range(CHANGES):
        name = f"new{number:05}"
        sent[name] = time.perf_counter()
        posts.append(asyncio.create_task(client.create(UPSTREAMS, "default", document(name))))
        await asyncio.sleep(PACE)
    await asyncio.gather(*posts)
    while not sent.keys() <= arrivals.at.keys():  # noqa: ASYNC110 - an intake is told, not awaited
        await asyncio.sleep(0.01)
    for name in sent:
        await client.delete(UPSTREAMS, "default", name)
    return [arrivals.at[name] - at for name, at in sent.items()]


def report_memory() -> None:
    for process in (psutil.Process(), *psutil.Process().children()):
        line = " ".join(process.cmdline())
        if process.pid == os.getpid() or "kopf_process" in line:
            who = "this process" if process.pid == os.getpid() else "the process of kopf"
            memory, used = process.memory_info().rss / 2**20, process.cpu_times()
            print(f"  {who}: {memory:.0f} MiB, CPU {used.user + used.system:.2f} s in all")


async def measure(client: KubeClient, access, count: int, *, with_kopf: bool) -> None:
    arrivals = Arrivals()
    provider = KubernetesProvider(
        client,
        access,
        ClusterSettings(),
        ResourceStore(),
        lambda: None,
        structlog.get_logger(),
        {UPSTREAMS: arrivals},
    )
    replayed = 0
    tell = provider._tell  # noqa: SLF001 - what kopf tells of known objects reaches no intake

    def counted(told):
        nonlocal replayed
        replayed += told.type is UPSTREAMS
        return tell(told)

    provider._tell = counted  # type: ignore[method-assign] # noqa: SLF001
    if not with_kopf:

        async def nothing() -> None:
            await asyncio.Event().wait()

        provider._watcher.run = nothing  # type: ignore[method-assign] # noqa: SLF001
    late: list[float] = []
    ticking = asyncio.create_task(tick(late))
    started, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(provider.run())
    with collector_paused():  # as the composition roots do
        await provider.loaded()
    loaded = time.perf_counter() - started
    during_list = len(late)
    while with_kopf and replayed < count:  # noqa: ASYNC110 - kopf does not tell
        await asyncio.sleep(0.05)
    seconds, spent = time.perf_counter() - started, time.process_time() - cpu
    ticking.cancel()
    name = "lists and kopf" if with_kopf else "lists only"
    for what, part in (("until loaded", late[:during_list]), ("after that", late[during_list:])):
        if part:
            print(f"| {name}, {what} | {quantile(part, 0.99):.1f} | {max(part) * 1e3:.0f} |")
    print(f"  loaded {loaded:.2f} s, replayed {seconds:.2f} s, CPU of this process {spent:.2f} s")
    if with_kopf:
        report_memory()
        await asyncio.sleep(SETTLED)
        found = await latencies(client, arrivals)
        print(f"  {CHANGES} made, one every {PACE * 1e3:.0f} ms, request to intake:")
        print(f"  p50 {quantile(found, 0.5):.1f} ms, p99 {quantile(found, 0.99):.1f} ms")
        report_memory()
    running.cancel()
    await asyncio.gather(ticking, running, return_exceptions=True)


async def main(count: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as folder:
        binaries = Toolset.from_environment().found()
        processes = ClusterProcesses(binaries, Path(folder))
        try:
            processes.start()
            plane = OwnControlPlane(processes, binaries)
            plane.install_crds()
            access = await load_access(plane.kubeconfig, None, {})
            async with KubeClient(access) as client:
                await make(client, count)
                print(f"{count} objects\n| | stall p99, ms | stall max, ms |\n|---|---|---|")
                await measure(client, access, count, with_kopf=False)
                await measure(client, access, count, with_kopf=True)
        finally:
            processes.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
