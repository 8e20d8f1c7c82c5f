"""A real API server full of Routes, a controller, and one Envoy: what ``bench.kubernetes`` measures on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cluster import OwnControlPlane
from support.cluster_processes import ClusterProcesses
from support.controller import ControllerProcess, controller, envoy_of
from support.envoy import EnvoyProcess

from bench import configs
from bench.harness import BenchError, cpu_seconds
from fluxgate_operator.envoy.locate import locate_envoy
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import TooManyRequestsError
from fluxgate_operator.kube.types import OUR_TYPES, KubeType
from tools.build_tools import Toolset, ToolsMissingError

NAMESPACE = "default"
GATEWAY = "main"
TYPES = {each.kind: each for each in OUR_TYPES}
CLIENT = "fluxgate-bench"
_AT_ONCE = 64


@dataclass(slots=True)
class Cluster:
    """An API server with one gateway, and a client of it that keeps its connections."""

    plane: OwnControlPlane
    client: KubeClient
    upstream: int
    """The port that every Upstream is at."""
    routes: int = 0
    _audited: int = 0

    async def create(self, *documents: Document) -> None:
        """Create objects, one after the other."""
        for document in documents:
            await self.client.create(type_of(document), NAMESPACE, document)

    async def delete(self, *documents: Document) -> None:
        """Delete objects, one after the other."""
        for each in documents:
            await self.client.delete(type_of(each), NAMESPACE, each["metadata"]["name"])

    async def grow(self, routes: int) -> None:
        """Create Routes and their Upstreams until there are so many, some at a time."""
        numbers = iter(range(self.routes, routes))

        async def work() -> None:
            for number in numbers:
                for document in documents(name_of(number), self.upstream):
                    await self._create_patiently(document)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
        self.routes = max(routes, self.routes)

    async def _create_patiently(self, document: Document) -> None:
        while True:
            try:
                return await self.create(document)
            except TooManyRequestsError as error:
                await asyncio.sleep(error.retry_after or 1.0)

    def skip_audit(self) -> None:
        """Forget what was asked so far."""
        self._audited = self.plane.audit_log.stat().st_size

    def requests(self) -> Counter[str]:
        """Who asked what since :meth:`skip_audit`; see :func:`count_requests`."""
        with self.plane.audit_log.open("rb") as log:
            log.seek(self._audited)
            return count_requests([line for line in log if line.endswith(b"\n")])


def count_requests(lines: list[bytes]) -> Counter[str]:
    """Requests of the controller, by "client verb resource", out of lines of the audit log.

    Everybody but the benchmark counts, by the API server's own log, so none of the controller's
    clients is forgotten. A watch counts when it begins, since it may never end.
    """
    found: Counter[str] = Counter()
    for event in map(json.loads, lines):
        agent = event.get("userAgent", "").split("/")[0]
        begins = event["verb"] == "watch"
        if agent in (CLIENT, "kubectl") or event["stage"] != _STAGE[begins]:
            continue
        about = event.get("objectRef", {})
        resource = "/".join(filter(None, (about.get("resource"), about.get("subresource"))))
        found[f"{agent} {event['verb']} {resource}"] += 1
    return found


_STAGE = {True: "ResponseStarted", False: "ResponseComplete"}


def type_of(document: Document) -> KubeType:
    """The kind of a document of ours."""
    return TYPES[str(document["kind"])]


def name_of(number: int) -> str:
    """The name of the Route of this number, and of its Upstream."""
    return f"r{number:05d}"


def documents(name: str, port: int) -> tuple[Document, Document]:
    """An Upstream, and a Route to it with its own path."""
    upstream: Any = configs.upstream(name, port)
    route: Any = configs.route(name, path_of(name), name, auth={"mode": "None"})
    return upstream, route


def path_of(name: str) -> str:
    """The path of the Route of this name."""
    return f"/api/v1/{name}"


def require_tools() -> Mapping[str, Path]:
    """The programs of the control plane by name, or an error that says how to get them."""
    try:
        return Toolset.from_environment().found()
    except ToolsMissingError as error:
        raise BenchError(str(error)) from error


@contextlib.asynccontextmanager
async def api_server() -> AsyncIterator[tuple[OwnControlPlane, KubeClient]]:
    """An API server with our CRDs, and a client. Raises :class:`BenchError` without the tools."""
    binaries = require_tools()
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        processes = ClusterProcesses(binaries, Path(scratch) / "cluster")
        try:
            await asyncio.to_thread(processes.start)
            plane = OwnControlPlane(processes, binaries)
            await asyncio.to_thread(plane.install_crds)
            access = await load_access(plane.kubeconfig, None, {})
            async with KubeClient(access, user_agent=CLIENT, connections=_AT_ONCE) as client:
                yield plane, client
        finally:
            await asyncio.to_thread(processes.stop)


@contextlib.asynccontextmanager
async def cluster(upstream: int, listener: int) -> AsyncIterator[Cluster]:
    """An API server that holds one gateway, on the port ``listener``, and no Route yet."""
    async with api_server() as (plane, client):
        made = Cluster(plane, client, upstream)
        gateway: Any = configs.gateway_config(listener)
        await made.create(gateway)
        yield made


@contextlib.contextmanager
def running(made: Cluster) -> Iterator[tuple[ControllerProcess, EnvoyProcess]]:
    """A controller, not ready yet, and an Envoy that waits for it."""
    options = ("--log-level", "warning")
    with (
        controller(made.plane.kubeconfig, NAMESPACE, *options, watch=("",), ready=False) as started,
        envoy_of(GATEWAY, started, ready=False) as envoy,
    ):
        yield started, envoy


def versions(plane: OwnControlPlane) -> str:
    """The versions of what is measured, as the programs say them."""
    api = plane.request("GET", "/version")["gitVersion"]
    etcd = _first_line(plane.binaries["etcd"]).rpartition(" ")[2]
    envoy = _first_line(locate_envoy(os.environ)).rpartition("version: ")[2].split("/")[1]
    return f"Kubernetes {api}, etcd {etcd}, Envoy {envoy}"


def _first_line(program: Path) -> str:
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[0]


def family(pid: int) -> list[psutil.Process]:
    """A process and its children, as they are now."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def family_cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, all threads."""
    return sum(cpu_seconds(each.pid) for each in family(pid))


def family_rss(pid: int) -> float:
    """Resident memory of a process and its children, MiB; pages they share count twice."""
    return sum(each.memory_info().rss for each in family(pid)) / 2**20
