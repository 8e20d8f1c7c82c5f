"""What EndpointSlices that nothing refers to cost the provider: time to load, and memory.

    taskset -c 0,1 python -m bench.foreign_slices [slices]

Every measurement is in a process of its own against the same API server: first without, then with
that many slices, each of 10 endpoints and of a Service of its own. Kopf's process is measured
when it has replayed everything, which the stop of its CPU time shows.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import structlog
from support.cluster import OwnControlPlane
from support.cluster_processes import ClusterProcesses

from bench.kopf_replay import SETTLED
from fluxgate.resources import ResourceStore
from fluxgate_operator.collector import collector_paused
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import ENDPOINT_SLICES, SERVICES
from fluxgate_operator.providers.kubernetes.provider import KubernetesProvider
from fluxgate_operator.settings import ClusterSettings
from tools.build_tools import Toolset

ENDPOINTS = 10
RUNS = 3


def documents(number: int) -> tuple[dict, dict]:
    name = f"foreign{number:05}"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        # headless: the API server has 254 cluster IPs here
        "spec": {"clusterIP": "None", "ports": [{"port": 80}]},
    }
    endpoints = [
        {
            "addresses": [f"10.{number // 250}.{number % 250}.{each}"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node{each}",
            "targetRef": {"kind": "Pod", "namespace": "default", "name": f"{name}-{each}"},
            "zone": "zone-a",
        }
        for each in range(ENDPOINTS)
    ]
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080}],
        "endpoints": endpoints,
    }
    return service, slice_


async def make(kubeconfig: Path, count: int) -> None:
    async with KubeClient(await load_access(kubeconfig, None, {})) as client:
        waiting = iter(range(count))

        async def worker() -> None:
            for number in waiting:
                service, slice_ = documents(number)
                await client.create(SERVICES, "default", service)
                await client.create(ENDPOINT_SLICES, "default", slice_)

        await asyncio.gather(*(worker() for _ in range(32)))


async def load(kubeconfig: Path) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    access = await load_access(kubeconfig, None, {})
    own = psutil.Process()
    async with KubeClient(access) as client:
        before, cpu, began = own.memory_info().rss, time.process_time(), time.perf_counter()
        provider = KubernetesProvider(
            client, access, ClusterSettings(), ResourceStore(), lambda: None, structlog.get_logger()
        )
        running = asyncio.create_task(provider.run())
        with collector_paused():
            await provider.loaded()
        seconds, spent = time.perf_counter() - began, time.process_time() - cpu
        gc.collect()
        kept = (own.memory_info().rss - before) / 2**20
        now, used = 0.0, -1.0
        while now - used > 0.1:
            await asyncio.sleep(SETTLED)
            (kopf,) = own.children()
            now, used = sum(kopf.cpu_times()[:2]), now
        memory = kopf.memory_info().rss / 2**20
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    print(f"| {seconds:.2f} | {spent:.2f} | {kept:.0f} | {memory:.0f} | {now:.1f} |")


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        binaries = Toolset.from_environment().found()
        processes = ClusterProcesses(binaries, Path(folder))
        try:
            processes.start()
            plane = OwnControlPlane(processes, binaries)
            plane.install_crds()
            print(
                "| slices | loaded, s | CPU, s | memory more, MiB | kopf's process, MiB | its CPU, s |"
            )
            print("|---|---|---|---|---|---|")
            for slices in (0, count):
                asyncio.run(make(plane.kubeconfig, slices))
                for _ in range(RUNS):
                    print(f"| {slices} ", end="", flush=True)
                    again = [sys.executable, "-m", "bench.foreign_slices", str(plane.kubeconfig)]
                    subprocess.run(again, check=True)
        finally:
            processes.stop()


if __name__ == "__main__":
    argument = sys.argv[1] if len(sys.argv) > 1 else "5000"
    if argument.isdecimal():
        main(int(argument))
    else:
        asyncio.run(load(Path(argument)))
