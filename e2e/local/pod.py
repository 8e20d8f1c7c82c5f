"""The life of one pod: sandbox, init containers, containers, probes, status, end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from e2e.local.environment import arguments_of, environment_of
from e2e.local.images import Image
from e2e.local.names import resolver_of
from e2e.local.network import PodNetwork
from e2e.local.oci import Sandbox, config_of, make_rootfs
from e2e.local.probes import passes, run_hook
from e2e.local.runtime import Container
from e2e.local.volumes import NamespaceLookup, Volumes
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import ConflictError, KubeError, NotFoundError
from fluxgate_operator.kube.types import PODS

_TICK = 0.1
"""Seconds between two looks at containers and probes."""


@dataclass(slots=True)
class Member:
    """A container of the pod, as it is now."""

    spec: Mapping[str, Any]
    container: Container
    lasting: bool
    started: bool = False
    ready: bool = False
    restarts: int = 0
    done: bool = False
    liveness_due: float | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Host:
    """What all pods of the node share."""

    client: KubeClient
    network: PodNetwork
    scratch: Path
    image_of: Callable[[str], Image]
    api_server: tuple[str, int]


@dataclass(slots=True)
class PodRun:
    """Runs one pod until it is deleted or has ended."""

    pod: Document
    host: Host
    address: str = ""
    members: list[Member] = field(default_factory=list)
    phase: str = "Pending"
    _written: Document | None = None

    @property
    def uid(self) -> str:
        """The pod's uid; a pod made again under the same name is another one."""
        return str(self.pod["metadata"]["uid"])

    @property
    def folder(self) -> Path:
        """Its place in the scratch folder."""
        return self.host.scratch / self.uid

    @property
    def _namespace(self) -> str:
        return f"fg{self.uid[:8]}"

    async def run(self) -> None:
        """Until the pod is over; cancel to end it as a deletion does."""
        self.folder.mkdir(parents=True)
        self.address = self.host.network.add(self._namespace)
        volumes = Volumes(self.host.client, self.pod, self.address, self.folder / "volumes")
        try:
            await self._until_there(volumes)
            await self._until_pulled()
            await self._live(volumes)
        except asyncio.CancelledError:
            await self._end()
            raise
        finally:
            self.host.network.remove(self._namespace)

    async def _until_there(self, volumes: Volumes) -> None:
        """Like the kubelet, wait for a ConfigMap or Secret that is not there yet."""
        while True:
            try:
                await volumes.create()
            except (LookupError, NotFoundError):
                await asyncio.sleep(_TICK)
            else:
                return

    async def _until_pulled(self) -> None:
        """Nothing stands for an image that does not exist: the pod says so, and waits for its end."""
        spec = self.pod["spec"]
        missing = {}
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            try:
                self.host.image_of(container["image"])
            except LookupError as error:
                missing[container["name"]] = str(error)
        if missing:
            await self._write(_not_pulled(spec, missing))
            await asyncio.Event().wait()

    async def _live(self, volumes: Volumes) -> None:
        spec = self.pod["spec"]
        for container in spec.get("initContainers", ()):
            lasting = container.get("restartPolicy") == "Always"
            member = await self._start(container, volumes, lasting=lasting)
            if not lasting:
                while await member.container.wait() != 0:
                    await self._report("Pending")
                    await asyncio.sleep(1.0)
                    await self._start_again(member, volumes)
                member.done = True
            else:
                while not await self._starts(member):
                    await asyncio.sleep(_TICK)
        lasting = spec.get("restartPolicy", "Always") == "Always"
        for container in spec["containers"]:
            await self._start(container, volumes, lasting=lasting)
        self.phase = "Running"
        while not await self._over(volumes):
            await asyncio.sleep(_TICK)
            with contextlib.suppress(LookupError, KubeError):  # what is gone stays as it was
                await volumes.refresh()
            await self._report(self.phase)
        await self._end()
        await self._report(self.phase)

    async def _over(self, volumes: Volumes) -> bool:
        """Look at every container once; whether the pod has run to its end."""
        mains = [each for each in self.members if self._is_main(each)]
        for member in self.members:
            if member.done:
                continue
            if not member.container.running:
                if member.lasting or (
                    self.pod["spec"].get("restartPolicy") == "OnFailure"
                    and member.container.exit_code != 0
                ):
                    member.started = member.ready = False
                    member.liveness_due, member.failures = None, 0
                    member.restarts += 1
                    await asyncio.sleep(min(5.0, 0.5 * member.restarts))
                    await self._start_again(member, volumes)
                else:
                    member.done, member.ready = True, False
                continue
            await self._probe(member)
        if not all(each.done for each in mains):
            return False
        failed = any(each.container.exit_code != 0 for each in mains)
        self.phase = "Failed" if failed else "Succeeded"
        return True

    def _is_main(self, member: Member) -> bool:
        return any(each["name"] == member.spec["name"] for each in self.pod["spec"]["containers"])

    async def _probe(self, member: Member) -> None:
        if not await self._starts(member):
            member.ready = False
            return
        probe = member.spec.get("readinessProbe")
        member.ready = probe is None or await self._passes(probe, member)
        live = member.spec.get("livenessProbe")
        if live is not None and await self._is_dead(live, member):
            await member.container.stop(5.0)

    async def _is_dead(self, probe: Mapping[str, Any], member: Member) -> bool:
        """One attempt a period, the first after one; nothing else waits for it."""
        now, period = time.monotonic(), float(probe.get("periodSeconds", 10))
        if member.liveness_due is None:
            member.liveness_due = now + period
        if now < member.liveness_due:
            return False
        member.liveness_due = now + period
        member.failures = 0 if await self._passes(probe, member) else member.failures + 1
        return member.failures >= int(probe.get("failureThreshold", 3))

    async def _starts(self, member: Member) -> bool:
        if not member.started:
            probe = member.spec.get("startupProbe")
            member.started = probe is None or await self._passes(probe, member)
        return member.started

    async def _passes(self, probe: Mapping[str, Any], member: Member) -> bool:
        return await passes(probe, member.container, member.spec, self.address)

    async def _start(self, spec: Mapping[str, Any], volumes: Volumes, *, lasting: bool) -> Member:
        name = spec["name"]
        folder = self.folder / name
        folder.mkdir()
        container = Container(self.host.scratch / "runc", f"{self.uid[:8]}-{name}", folder)
        member = Member(spec, container, lasting)
        self.members.append(member)
        await self._start_again(member, volumes)
        return member

    async def _start_again(self, member: Member, volumes: Volumes) -> None:
        spec, pod = member.spec, self.pod
        image = self.host.image_of(spec["image"])
        lookup = NamespaceLookup(self.host.client, pod["metadata"]["namespace"])
        declared = await environment_of(spec, pod, self.address, lookup)
        host, port = self.host.api_server
        environment = {
            **image.environment,
            "HOSTNAME": pod["metadata"]["name"],
            "KUBERNETES_SERVICE_HOST": host,
            "KUBERNETES_SERVICE_PORT": str(port),
            **declared,
        }
        sandbox = self._sandbox()
        config = config_of(
            spec,
            _pod_level(pod["spec"].get("securityContext", {})),
            image,
            environment,
            arguments_of(spec, image.entrypoint, declared),
            volumes.mounts(spec),
            sandbox,
            make_rootfs(member.container.folder / "rootfs"),
        )
        await member.container.start(config)

    def _sandbox(self) -> Sandbox:
        metadata = self.pod["metadata"]
        name, files = metadata["name"], (self.folder / "hosts", self.folder / "resolv.conf")
        files[0].write_text(f"127.0.0.1 localhost\n::1 localhost\n{self.address} {name}\n")
        files[1].write_text(resolver_of(metadata["namespace"], self.host.network.gateway))
        return Sandbox(self._namespace, name[:63], *files)

    async def _end(self) -> None:
        """Each its hook, all at once, then SIGTERM; sidecars get it after the others, the last first.

        As the kubelet does it (KEP-753): a sidecar's hook does not wait for the application's end.
        """
        until = time.monotonic() + float(self.pod["spec"].get("terminationGracePeriodSeconds", 30))
        mains = [each for each in self.members if self._is_main(each)]
        ending = [asyncio.create_task(self._end_member(each, until, ())) for each in mains]
        for each in reversed([each for each in self.members if not self._is_main(each)]):
            ending.append(asyncio.create_task(self._end_member(each, until, tuple(ending))))
        await asyncio.gather(*ending)

    async def _end_member(
        self, member: Member, until: float, before: tuple[asyncio.Task[None], ...]
    ) -> None:
        hook = member.spec.get("lifecycle", {}).get("preStop")
        if hook is not None and member.container.running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until - time.monotonic()):
                    await run_hook(hook, member.container, member.spec, self.address)
        await asyncio.gather(*before)
        # the kubelet grants two more seconds to those whose time is over
        await member.container.stop(max(2.0, until - time.monotonic()))

    async def _report(self, phase: str) -> None:
        """Write the status when it says something new."""
        status = self._status(phase)
        if status != self._written:
            await self._write(status)

    async def _write(self, status: Document) -> None:
        metadata = self.pod["metadata"]
        stamped = _with_times(status, self._written)
        try:
            await self.host.client.merge_patch(
                PODS,
                metadata["namespace"],
                metadata["name"],
                {"status": stamped},
                subresource="status",
            )
        except (NotFoundError, ConflictError):
            return
        self._written = status

    def _status(self, phase: str) -> Document:
        mains = [each for each in self.members if self._is_main(each)]
        inits = [each for each in self.members if not self._is_main(each)]
        ready = bool(mains) and all(each.ready for each in self.members if not each.done)
        ready = ready and phase == "Running"
        return {
            "phase": phase,
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "hostIP": self.host.network.gateway,
            "conditions": [
                {"type": "Initialized", "status": str(bool(mains))},
                {"type": "ContainersReady", "status": str(ready)},
                {"type": "Ready", "status": str(ready)},
                {"type": "PodScheduled", "status": "True"},
            ],
            "containerStatuses": [_container_status(each) for each in mains],
            "initContainerStatuses": [_container_status(each) for each in inits],
        }


def _pod_level(security: Mapping[str, Any]) -> dict[str, Any]:
    names = ("runAsUser", "runAsGroup", "fsGroup")
    return {name: security[name] for name in names if name in security}


def _not_pulled(spec: Mapping[str, Any], missing: Mapping[str, str]) -> Document:
    """A pod's status as long as images are missing, whose words are given by container."""

    def status(container: Mapping[str, Any]) -> Document:
        name = container["name"]
        waiting = {"reason": "PodInitializing"}
        if name in missing:
            waiting = {"reason": "ImagePullBackOff", "message": missing[name]}
        common = {"name": name, "image": container["image"], "imageID": "", "restartCount": 0}
        return {**common, "ready": False, "started": False, "state": {"waiting": waiting}}

    return {
        "phase": "Pending",
        "conditions": [
            {"type": "Initialized", "status": "False"},
            {"type": "ContainersReady", "status": "False", "reason": "ContainersNotReady"},
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
            {"type": "PodScheduled", "status": "True"},
        ],
        "containerStatuses": [status(each) for each in spec["containers"]],
        "initContainerStatuses": [status(each) for each in spec.get("initContainers", ())],
    }


def _container_status(member: Member) -> Document:
    code = member.container.exit_code
    state: Document = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
    return {
        "name": member.spec["name"],
        "image": member.spec["image"],
        "imageID": "",
        "ready": member.ready,
        "started": member.started,
        "restartCount": member.restarts,
        "state": state,
    }


def _with_times(status: Document, before: Document | None) -> Document:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    known = {each["type"]: each for each in (before or {}).get("conditions", ())}
    conditions = [
        {**each, "lastTransitionTime": now} if known.get(each["type"]) != each else each
        for each in status["conditions"]
    ]
    return (
        {**status, "conditions": conditions, "startTime": now}
        if not before
        else {
            **status,
            "conditions": conditions,
        }
    )
