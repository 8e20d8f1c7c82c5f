"""A real API server full of Routes, a controller, and one Envoy: what ``bench.kubernetes`` measures on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.cluster import OwnControlPlane
from support.cluster_processes import ClusterProcesses
from support.controller import ControllerProcess, controller, envoy_of
from support.envoy import EnvoyProcess

from bench import configs
from bench.harness import BenchError
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import TooManyRequestsError
from fluxgate_operator.kube.types import OUR_TYPES, KubeType
from tools.build_tools import Toolset, ToolsMissingError

NAMESPACE = "default"
GATEWAY = "main"
TYPES = {each.kind: each for each in OUR_TYPES}
_AT_ONCE = 16


@dataclass(slots=True)
class Cluster:
    """An API server, and a client of it that keeps its connections."""

    plane: OwnControlPlane
    client: KubeClient
    _audited: int = 0

    async def create(self, *documents: Document) -> None:
        """Create objects, one after the other."""
        for document in documents:
            await self.client.create(_type_of(document), NAMESPACE, document)

    async def fill(self, documents: list[Document]) -> None:
        """Create many objects, some at a time."""
        waiting = iter(documents)

        async def worker() -> None:
            for document in waiting:
                try:
                    await self.create(document)
                except TooManyRequestsError as error:
                    await asyncio.sleep(error.retry_after or 1.0)
                    await self.create(document)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(worker())

    def skip_audit(self) -> None:
        """Forget what was asked so far."""
        self._audited = self.plane.audit_log.stat().st_size

    def requests(self) -> int:
        """What the controller asked since :meth:`skip_audit`, Leases and watches left out."""
        with self.plane.audit_log.open("rb") as log:
            log.seek(self._audited)
            events = [json.loads(line) for line in log if line.endswith(b"\n")]
        return sum(
            event["stage"] == "ResponseComplete"
            and event.get("userAgent", "").startswith("fluxgate-controller")
            and event["verb"] != "watch"
            and event.get("objectRef", {}).get("resource") != "leases"
            for event in events
        )


def _type_of(document: Document) -> KubeType:
    return TYPES[str(document["kind"])]


def documents(name: str, port: int) -> tuple[Document, Document]:
    """A Route with its own path, and its own Upstream."""
    upstream: Any = configs.upstream(name, port)
    route: Any = configs.route(name, f"/api/v1/{name}", name, auth={"mode": "None"})
    return upstream, route


@contextlib.asynccontextmanager
async def cluster(routes: int, upstream: int, listener: int) -> AsyncIterator[Cluster]:
    """An API server that holds one gateway and so many Routes. Raises :class:`BenchError`."""
    try:
        binaries = Toolset.from_environment().found()
    except ToolsMissingError as error:
        raise BenchError(str(error)) from error
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        processes = ClusterProcesses(binaries, Path(scratch) / "cluster")
        try:
            await asyncio.to_thread(processes.start)
            plane = OwnControlPlane(processes, binaries)
            await asyncio.to_thread(plane.install_crds)
            access = await load_access(plane.kubeconfig, None, {})
            async with KubeClient(access, user_agent="bench") as client:
                made = Cluster(plane, client)
                gateway: Any = configs.gateway_config(listener)
                await made.create(gateway)
                names = [f"r{number:05d}" for number in range(routes)]
                await made.fill([each for name in names for each in documents(name, upstream)])
                yield made
        finally:
            await asyncio.to_thread(processes.stop)


@contextlib.contextmanager
def running(made: Cluster) -> Iterator[tuple[ControllerProcess, EnvoyProcess]]:
    """A controller, not ready yet, and an Envoy that waits for it."""
    options = ("--log-level", "warning")
    with (
        controller(made.plane.kubeconfig, NAMESPACE, *options, watch=("",), ready=False) as started,
        envoy_of(GATEWAY, started, ready=False) as envoy,
    ):
        yield started, envoy
