"""What reading and writing objects costs, in a folder and in a cluster.

    taskset -c 0,1 python -m bench.resource_clients [objects]

The folder holds that many Backends, one a file and then all in one file. The cluster is an API server of its
own; the same requests go through the official client (as in production) and through ``KubeClient``, for the price
of the former. Milliseconds a call, one at a time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import yaml

from fluxgate.ports import ChangeType, ResourceClient
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import OUR_TYPES
from fluxgate_operator.resource_clients.directory import DirectoryResources
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources
from tools.build_tools import Toolset

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cluster import OwnControlPlane
from support.cluster_processes import ClusterProcesses

BACKENDS = next(each for each in OUR_TYPES if each.kind == "Backend")
CALLS = 100
"""How often each call is made."""


def document(name: str, url: str = "http://a.example.com") -> dict:
    return {
        "apiVersion": BACKENDS.api_version,
        "kind": "Backend",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"url": url},
    }


async def told(what: str, call: Callable[[int], Awaitable[object]], calls: int = CALLS) -> None:
    """Print p50 and p99 of ``calls`` calls."""
    times = []
    for number in range(calls):
        began = time.perf_counter()
        await call(number)
        times.append(1000 * (time.perf_counter() - began))
    times.sort()
    print(
        f"{what:<44} p50 {statistics.median(times):8.2f}  p99 {times[int(0.99 * len(times))]:8.2f}"
    )


async def client_calls(client: ResourceClient) -> None:
    """The calls of the port, on Backends ``b00000`` and up."""

    async def replace(number: int) -> None:
        found = await client.get(ObjectRef("Backend", "default", f"b{number:05}"))
        await client.replace(
            document(f"b{number:05}", f"http://r{number}.example.com"), found.version
        )

    await told("  list all", lambda _: client.list("Backend"), 5)
    await told("  get", lambda n: client.get(ObjectRef("Backend", "default", f"b{n:05}")))
    await told("  create", lambda n: client.create(document(f"new{n:05}")))
    await told("  get and replace", replace)
    await told("  delete", lambda n: client.delete(ObjectRef("Backend", "default", f"new{n:05}")))
    began = time.perf_counter()
    async for change in client.watch(["Backend"]):
        if change.type is ChangeType.SYNCED:
            break
    print(f"  watch, until synced: {time.perf_counter() - began:.2f} s")


async def folder(count: int, *, one_file: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        documents = [document(f"b{number:05}") for number in range(count)]
        if one_file:
            (root / "all.yaml").write_text(yaml.dump_all(documents, Dumper=yaml.CSafeDumper))
        else:
            for each in documents:
                path = root / f"default.{each['metadata']['name']}.yaml"
                path.write_text(yaml.dump(each, Dumper=yaml.CSafeDumper))
        print(f"folder, {count:,} objects, " + ("all in one file" if one_file else "one a file"))
        async with DirectoryResources(root, structlog.get_logger()) as client:
            began = time.perf_counter()
            await client.list("Backend", "nobody")
            print(f"  first look: {time.perf_counter() - began:.2f} s")
            await client_calls(client)


async def cluster(plane: OwnControlPlane, count: int) -> None:
    access = await load_access(plane.kubeconfig, None, {})
    async with KubeClient(access) as own:
        waiting = iter(range(count))

        async def worker() -> None:
            for number in waiting:
                await own.create(BACKENDS, "default", document(f"b{number:05}"))

        await asyncio.gather(*(worker() for _ in range(16)))
        print(f"cluster, {count:,} objects, by KubeClient")
        await told("  list all", lambda _: own.list(BACKENDS), 5)
        await told("  get", lambda n: own.get(BACKENDS, "default", f"b{n:05}"))
        await told("  create", lambda n: own.create(BACKENDS, "default", document(f"new{n:05}")))
        await told("  delete", lambda n: own.delete(BACKENDS, "default", f"new{n:05}"))
    print(f"cluster, {count:,} objects, by the official client")
    async with KubernetesResources(access, structlog.get_logger()) as client:
        await client_calls(client)


async def main(count: int) -> None:
    await folder(count, one_file=False)
    await folder(count, one_file=True)
    with tempfile.TemporaryDirectory() as name:
        found = Toolset.from_environment().found("etcd", "kube-apiserver", "kubectl")
        processes = ClusterProcesses(found, Path(name))
        try:
            processes.start()
            plane = OwnControlPlane(processes, found)
            plane.install_crds()
            await cluster(plane, count)
        finally:
            processes.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
