"""The node: takes every pod that wants to run, and runs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from e2e.local.images import Image
from e2e.local.names import PORT, NameServer, names_of
from e2e.local.network import PodNetwork
from e2e.local.pod import Host, PodRun
from e2e.local.runtime import end_all
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import ConflictError, KubeError, NotFoundError
from fluxgate_operator.kube.types import ENDPOINT_SLICES, PODS, KubeType

NODES = KubeType("", "v1", "nodes", "Node", namespaced=False)
NAME = "local"
_POLL = 0.15
_OVER = ("Succeeded", "Failed")


class LocalNode:
    """Runs pods of all namespaces. Use ``async with``; at its end every pod it ran is ended."""

    def __init__(
        self,
        client: KubeClient,
        network: PodNetwork,
        scratch: Path,
        images: Mapping[str, Image],
        api_server: tuple[str, int],
    ) -> None:
        self._client = client
        self._images = images
        self._host = Host(client, network, scratch, self.image_of, api_server)
        self._pods: dict[str, tuple[PodRun, asyncio.Task[None]]] = {}
        self._ending: set[str] = set()
        self._names = NameServer()
        self._loop: asyncio.Task[None] | None = None
        self._resolver: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        await self._register()
        self._resolver, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self._names, (self._host.network.gateway, PORT)
        )
        self._loop = asyncio.create_task(self._run(), name="node")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for uid in list(self._pods.keys() - self._ending):
            self._end(uid)
        await asyncio.gather(*(task for _, task in self._pods.values()), return_exceptions=True)
        if self._resolver is not None:
            self._resolver.close()
        # whatever a pod that was cut short while it started has left behind
        await end_all(self._host.scratch / "runc")

    def image_of(self, name: str) -> Image:
        """What stands for an image; by its repository, whatever its tag or digest."""
        repository = name.split("@", maxsplit=1)[0]
        if ":" in repository.rsplit("/", 1)[-1]:
            repository = repository.rsplit(":", 1)[0]
        if repository not in self._images:
            raise LookupError(f"nothing stands for the image {name}; known: {sorted(self._images)}")
        return self._images[repository]

    def log(self, namespace: str, name: str, container: str) -> str:
        """What a container wrote so far."""
        for run, _ in self._pods.values():
            metadata = run.pod["metadata"]
            if (metadata["namespace"], metadata["name"]) == (namespace, name):
                return (run.folder / container / "log").read_text(errors="replace")
        raise LookupError(f"no pod {namespace}/{name} runs here")

    def run_of(self, namespace: str, name: str) -> PodRun:
        """A pod that runs here, to look at or to break."""
        for run, _ in self._pods.values():
            if (run.pod["metadata"]["namespace"], run.pod["metadata"]["name"]) == (namespace, name):
                return run
        raise LookupError(f"no pod {namespace}/{name} runs here")

    async def _register(self) -> None:
        node: Document = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NAME}}
        with contextlib.suppress(ConflictError):
            await self._client.create(NODES, None, node)
        status = {
            "status": {
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
                "addresses": [{"type": "InternalIP", "address": self._host.network.gateway}],
                "capacity": {"pods": "110", "cpu": "8", "memory": "32Gi"},
                "allocatable": {"pods": "110", "cpu": "8", "memory": "32Gi"},
            }
        }
        await self._client.merge_patch(NODES, None, NAME, status, subresource="status")
        # a new node is tainted as not ready, and no DaemonSet goes there until somebody takes it off
        await self._client.merge_patch(NODES, None, NAME, {"spec": {"taints": None}})

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except KubeError:
                # an API server that is away is one of the scenarios; pods go on meanwhile
                await asyncio.sleep(_POLL)
            await asyncio.sleep(_POLL)

    async def _look(self) -> None:
        pods = (await self._client.list(PODS)).items
        self._names.names = names_of((await self._client.list(ENDPOINT_SLICES)).items)
        present = {pod["metadata"]["uid"]: pod for pod in pods}
        for uid, pod in present.items():
            if uid not in self._pods and pod.get("status", {}).get("phase") not in _OVER:
                await self._take(pod)
            elif "deletionTimestamp" in pod["metadata"]:
                self._end(uid)
        for uid in self._pods.keys() - present.keys():
            self._end(uid)
            if self._pods[uid][1].done():
                del self._pods[uid]
                self._ending.discard(uid)

    async def _take(self, pod: Document) -> None:
        metadata = pod["metadata"]
        if "deletionTimestamp" in metadata:
            await self._delete(pod)
            return
        if not pod["spec"].get("nodeName"):
            binding = {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": metadata["name"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NAME},
            }
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
            with contextlib.suppress(ConflictError, NotFoundError):
                await self._client.request("POST", path, body=binding)
        run = PodRun(pod, self._host)
        self._pods[metadata["uid"]] = (run, asyncio.create_task(self._guard(run)))

    async def _guard(self, run: PodRun) -> None:
        try:
            await run.run()
        except asyncio.CancelledError:
            await self._delete(run.pod)
            raise
        except Exception as error:
            note = f"{type(error).__name__}: {error}\n"
            (run.folder / "failure").write_text(note)
            raise

    def _end(self, uid: str) -> None:
        """End a pod, once: its hooks and its grace period must not be interrupted."""
        if uid not in self._pods or uid in self._ending:
            return
        self._ending.add(uid)
        run, task = self._pods[uid]
        if task.done():  # it ran to its end before; only the object is left
            self._pods[uid] = (run, asyncio.create_task(self._delete(run.pod)))
        else:
            task.cancel()

    async def _delete(self, pod: Document) -> None:
        metadata = pod["metadata"]
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        path = PODS.path(metadata["namespace"], metadata["name"])
        with contextlib.suppress(NotFoundError, ConflictError):
            await self._client.request("DELETE", path, body=body)
