"""The local cluster: API server, controllers, one node, Helm; no container engine."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from signal import SIGKILL
from typing import Any, TypeVar

from support.cluster import OwnControlPlane

from e2e.local.control_plane import control_plane
from e2e.local.images import REPOSITORY, Image, fluxgate_image, python_image, redis_image
from e2e.local.network import PodNetwork
from e2e.local.node import LocalNode
from fluxgate_operator.envoy.locate import locate_envoy
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient

IMAGE = "fluxgate"
APPLICATION = "python"
REDIS = "redis"
T = TypeVar("T")
_STORAGE = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "folders",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "kubernetes.io/host-path",
}
"""What a claim that names no class gets."""


class LocalCluster:
    """See :class:`e2e.cluster.Cluster`. Its pods run as OCI containers with runc."""

    name = "local control plane, pods as OCI containers by runc"
    application_image = f"{APPLICATION}:3"

    def __init__(
        self, plane: OwnControlPlane, node: LocalNode, run: Callable[..., Any], programs: Path
    ) -> None:
        self.plane = plane
        self.node = node
        self._run = run
        self._programs = programs

    @property
    def values(self) -> Mapping[str, object]:
        """The image by the name this node knows it by."""
        return {"image": {"repository": IMAGE, "tag": "local", "pullPolicy": "Never"}}

    @property
    def environment(self) -> Mapping[str, str]:
        """``kubectl port-forward`` needs a kubelet, so it is a program of ours here."""
        programs = {
            "helm": f'exec {self.plane.binaries["helm"]} "$@"',
            "kubectl": f'if [ "$1" = port-forward ]; then shift;'
            f' exec {sys.executable} -m e2e.local.port_forward {self.plane.binaries["kubectl"]} "$@";'
            f' fi; exec {self.plane.binaries["kubectl"]} "$@"',
        }
        self._programs.mkdir(exist_ok=True)
        for name, text in programs.items():
            script = self._programs / name
            script.write_text(f"#!/bin/sh\n{text}\n")
            script.chmod(0o755)
        return {
            "KUBECONFIG": str(self.plane.kubeconfig),
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}",
        }

    def kubectl(self, *args: str, stdin: str = "") -> str:
        """As the cluster's admin."""
        return self.plane.kubectl(*args, stdin=stdin)

    def helm(self, *args: str) -> str:
        """As the cluster's admin."""
        done = subprocess.run(
            [self.plane.binaries["helm"], *args],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            env=self.plane.environment(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"helm {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    @contextmanager
    def reach(self, namespace: str, service: str, port: int) -> Iterator[str]:
        """At the first ready pod behind the Service; this machine is on the pods' bridge."""
        found = json.loads(
            self.kubectl(
                "get",
                "endpointslices",
                "-n",
                namespace,
                "-l",
                f"kubernetes.io/service-name={service}",
                "-o",
                "json",
            )
        )
        target = self._target_port(namespace, service, port)
        for each in found["items"]:
            for endpoint in each.get("endpoints") or ():
                if endpoint["conditions"].get("ready"):
                    yield f"http://{endpoint['addresses'][0]}:{target(each)}"
                    return
        raise LookupError(f"Service {namespace}/{service} has no ready endpoint")

    def kill(self, namespace: str, pod: str) -> None:
        """SIGKILL to every container; the pod's owner makes another one."""
        run = self.node.run_of(namespace, pod)
        self.kubectl(
            "delete", "pod", "-n", namespace, pod, "--wait=false", "--grace-period=0", "--force"
        )
        for member in run.members:
            self._run(member.container.kill(SIGKILL))

    def requests(self) -> list[dict[str, Any]]:
        """From the audit log."""
        return self.plane.audit_events()

    def exec(self, namespace: str, pod: str, container: str, *command: str) -> str:
        """By runc; there is no kubelet that ``kubectl exec`` could ask."""
        run = self.node.run_of(namespace, pod)
        (member,) = [each for each in run.members if each.spec["name"] == container]
        code, output, errors = self._run(member.container.output(command, 60.0))
        if code != 0:
            raise RuntimeError(f"{' '.join(command)}: {errors.strip()}")
        return str(output)

    def log(self, namespace: str, pod: str, container: str) -> str:
        """From the file the container writes to."""
        return self.node.log(namespace, pod, container)

    def _target_port(
        self, namespace: str, service: str, port: int
    ) -> Callable[[Mapping[str, Any]], int]:
        spec = json.loads(self.kubectl("get", "service", "-n", namespace, service, "-o", "json"))
        name = next(each.get("name") for each in spec["spec"]["ports"] if each["port"] == port)

        def of(endpoint_slice: Mapping[str, Any]) -> int:
            return next(
                each["port"]
                for each in endpoint_slice["ports"]
                if (each.get("name") or None) == name
            )

        return of


def why_not() -> str:
    """Why this machine cannot be a node; empty when it can."""
    needed = ("runc", "ip", "redis-server")
    missing = [each for each in needed if shutil.which(each) is None]
    if missing:
        return f"{' and '.join(missing)} missing; install runc, iproute2 and redis-server"
    if os.geteuid() != 0:
        return "network namespaces and containers need root"
    return ""


@contextmanager
def local_cluster(
    binaries: dict[str, Path], scratch: Path, environ: Mapping[str, str]
) -> Iterator[LocalCluster]:
    """Start everything; end everything."""
    network = PodNetwork(f"fg{secrets.token_hex(3)}", _free_subnet())
    network.create()
    try:
        with control_plane(binaries, scratch / "control-plane", network.gateway) as plane:
            images = {
                IMAGE: fluxgate_image(scratch, locate_envoy(environ, None), binaries["ratelimit"]),
                APPLICATION: python_image(),
                REDIS: redis_image(),
            }
            plane.kubectl("apply", "-f", "-", stdin=json.dumps(_STORAGE))
            with _node(plane, network, scratch / "node", images) as (node, run):
                yield LocalCluster(plane, node, run, scratch / "programs")
            _forget_volumes(plane)
    finally:
        network.destroy()


@contextmanager
def _node(
    plane: OwnControlPlane, network: PodNetwork, scratch: Path, images: Mapping[str, Image]
) -> Iterator[tuple[LocalNode, Callable[[Coroutine[Any, Any, T]], T]]]:
    """The node on an event loop of its own, so that scenarios may block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="node", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(120)

    async def start() -> tuple[KubeClient, LocalNode]:
        access = await load_access(plane.kubeconfig, None, {})
        client = KubeClient(access)
        address = (network.gateway, int(plane.url.rpartition(":")[2]))
        node = LocalNode(client, network, scratch, images, address)
        await node.__aenter__()
        return client, node

    async def stop(client: KubeClient, node: LocalNode) -> None:
        await node.__aexit__()
        await client.close()

    client, node = run(start())
    try:
        yield node, run
    finally:
        run(stop(client, node))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _forget_volumes(plane: OwnControlPlane) -> None:
    """The folders of claims that are still there at the end."""
    for each in json.loads(plane.kubectl("get", "persistentvolumes", "-o", "json"))["items"]:
        shutil.rmtree(each["spec"]["hostPath"]["path"], ignore_errors=True)


def _free_subnet() -> IPv4Network:
    """A /24 of 10.231.0.0/16 that no interface of this machine has."""
    taken = subprocess.run(
        ["ip", "-4", "-o", "addr"], check=True, capture_output=True, text=True
    ).stdout
    return next(
        IPv4Network(f"10.231.{number}.0/24")
        for number in range(1, 255)
        if f" 10.231.{number}." not in taken
    )
