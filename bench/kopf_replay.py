"""What kopf's replay of many objects does to the event loop of the same process.

    taskset -c 0,1 python -m bench.kopf_replay [objects]

Starts an API server of its own, makes that many Upstreams, and runs the provider twice: with its
lists only, and with kopf in its thread as in production. A ticker on the main loop, which in
the controller is the loop of the xDS server, notes how late it is woken.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

import structlog

from fluxgate.resources import ResourceStore
from fluxgate_operator.collector import collector_paused
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.providers.kubernetes import provider as provider_module
from fluxgate_operator.providers.kubernetes.provider import KubernetesProvider
from fluxgate_operator.providers.kubernetes.watcher import KopfWatcher
from fluxgate_operator.settings import ClusterSettings
from tools.build_tools import Toolset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cluster import OwnControlPlane
from support.cluster_processes import ClusterProcesses

UPSTREAMS = next(each for each in OUR_TYPES if each.kind == "Upstream")
TICK = 0.001


def document(number: int) -> dict:
    target = {"host": f"192.0.2.{number % 250 + 1}", "port": 80}
    return {
        "apiVersion": UPSTREAMS.api_version,
        "kind": "Upstream",
        "metadata": {"name": f"u{number:05}"},
        "spec": {"targets": [target]},
    }


async def make(client: KubeClient, count: int) -> None:
    waiting = iter(range(count))

    async def worker() -> None:
        for number in waiting:
            await client.create(UPSTREAMS, "default", document(number))

    await asyncio.gather(*(worker() for _ in range(32)))


async def tick(late: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - before - TICK)


class Counted(KopfWatcher):
    """Counts what kopf told."""

    seen = 0

    def batch(self, told: list) -> None:
        Counted.seen += sum(each.type is UPSTREAMS and each.document is not None for each in told)
        super().batch(told)


async def measure(client: KubeClient, access, count: int, *, with_kopf: bool) -> None:
    provider_module.KopfWatcher = Counted  # type: ignore[misc]
    Counted.seen = 0
    store = ResourceStore()
    provider = KubernetesProvider(
        client, access, ClusterSettings(), store, lambda: None, structlog.get_logger()
    )
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
    while with_kopf and count > Counted.seen:  # noqa: ASYNC110 - kopf does not tell
        await asyncio.sleep(0.05)
    replayed, spent = time.perf_counter() - started, time.process_time() - cpu
    ticking.cancel()
    running.cancel()
    await asyncio.gather(ticking, running, return_exceptions=True)
    name = "lists and kopf" if with_kopf else "lists only"
    for what, part in (("until loaded", late[:during_list]), ("after that", late[during_list:])):
        if part:
            part.sort()
            p99 = part[int(len(part) * 0.99)]
            print(f"| {name}, {what} | {p99 * 1e3:.1f} | {part[-1] * 1e3:.0f} |")
    print(f"  loaded {loaded:.2f} s, replayed {replayed:.2f} s, CPU {spent:.2f} s")


async def main(count: int) -> None:
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
