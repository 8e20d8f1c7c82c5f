"""This replica among the others: keeps its Lease, tells them, and hears them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import grpc
from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef
from fluxgate.translator import SetAside
from fluxgate_operator.election.clock import Clock, uptime
from fluxgate_operator.health.book import NodeKey
from fluxgate_operator.health.readings import Ailing
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.notify import Signal
from fluxgate_operator.propagation import RemoteNode
from fluxgate_operator.replicas.link import Link
from fluxgate_operator.replicas.local import LocalReport
from fluxgate_operator.replicas.members import Member, Membership, Roster
from fluxgate_operator.replicas.report import Report
from fluxgate_operator.replicas.service import ReplicaService
from fluxgate_operator.replicas.settings import PeerCredentials, ReplicaSettings

_LEAVE_SECONDS = 2.0


class Replicas:
    """Register :attr:`handler` at the xDS server, give this to the tracker, then :meth:`run`.

    A replica counts as long as its stream lives or its Lease is renewed. What it said last
    stands until then: after a crash its nodes come to us, and the newest connection of a node is
    the one that counts. When the API server is away nobody is forgotten.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        identity: str,
        address: Callable[[], str],
        log: FilteringBoundLogger,
        settings: ReplicaSettings | None = None,
        credentials: PeerCredentials | None = None,
        clock: Clock = uptime,
    ) -> None:
        self._identity = identity
        self._address = address
        self._log = log
        self._settings = settings or ReplicaSettings()
        self._credentials = credentials
        self._clock = clock
        self._membership = Membership(
            client, namespace, identity, self._settings.duration, self._settings.pod_uid
        )
        self._roster = Roster(identity)
        self._service = ReplicaService(
            identity,
            credentials.peers if credentials is not None else None,
            self._settings.heartbeat,
            self._greeted,
            log,
        )
        self._links: dict[str, tuple[Link, asyncio.Task[None]]] = {}
        self._reports: dict[str, Report] = {}
        self._lingering: dict[str, Report] = {}
        self._look = asyncio.Event()
        self._trouble = ""
        self.changed = Signal()

    @property
    def handler(self) -> grpc.GenericRpcHandler[Any, Any]:
        """For the xDS server."""
        return self._service.handler()

    @property
    def peers(self) -> tuple[str, ...]:
        """The other replicas that are heard now."""
        return tuple(sorted(name for name, (link, _) in self._links.items() if link.connected))

    def nodes(self) -> tuple[RemoteNode, ...]:
        """Every node that is connected to another replica."""
        return tuple(
            RemoteNode(
                peer,
                node.id,
                node.gateway,
                node.version,
                node.connected_at,
                node.connection,
                node.lag,
                node.error,
                node.agent,
                node.last_seen,
            )
            for peer, report in (*self._lingering.items(), *self._reports.items())
            for node in report.nodes
        )

    def set_asides(self) -> Mapping[ObjectRef, tuple[SetAside, ...]]:
        """What the other replicas have set aside, by object."""
        found: dict[ObjectRef, tuple[SetAside, ...]] = {}
        for report in self._reports.values():
            for ref, each in report.set_aside.items():
                found[ref] = (*found.get(ref, ()), each)
        return found

    def rejections(self) -> Mapping[ObjectRef, str]:
        """What Envoys of other replicas reject only when they run, in their words."""
        return {
            ref: words
            for report in self._reports.values()
            for ref, words in report.rejections.items()
        }

    def health(self) -> Mapping[NodeKey, Ailing]:
        """What nodes of the other replicas say of the endpoints they know."""
        return {
            node: each for report in self._reports.values() for node, each in report.health.items()
        }

    async def run(self, local: LocalReport) -> None:
        """Take part until cancelled; then leave, so that the others know at once."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tell(local))
                group.create_task(self._meet())
        finally:
            await self._leave()

    async def follow(self) -> None:
        """Hear the others without being one of them: no Lease, nothing told; until cancelled."""
        try:
            await self._meet(member=False)
        finally:
            await self._unlink_all()

    async def _tell(self, local: LocalReport) -> None:
        while True:
            waiting = [signal.subscribe() for signal in local.changed]
            try:
                self._service.publish(local.read())
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waiting:
                    each.cancel()
            await asyncio.sleep(self._settings.coalesce)

    async def _meet(self, *, member: bool = True) -> None:
        while True:
            self._look.clear()
            try:
                if member:
                    await self._membership.renew(self._address())
                members = self._roster.observe(await self._membership.others(), self._clock())
                await self._attend(members, bury=member)
                self._trouble = ""
            except KubeError as error:
                if type(error).__name__ != self._trouble:
                    self._trouble = type(error).__name__
                    self._log.warning("replicas cannot be looked up", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.duration / 3):
                    await self._look.wait()
            await asyncio.sleep(self._settings.coalesce)

    async def _attend(self, members: Mapping[str, Member], *, bury: bool) -> None:
        """Connect to who is new, let go of who is gone."""
        for identity in self._reports.keys() | self._links.keys():
            link, _ = self._links.get(identity, (None, None))
            member = members.get(identity)
            alive = link is not None and link.connected
            if not alive and (member is None or member.expired):
                self._drop(identity)
            elif member is not None and link is not None and link.address != member.address:
                self._unlink(identity)
        for member in members.values():
            if not member.expired:
                self._connect(member)
            elif bury and member.identity not in self._links:
                await self._membership.bury(member)

    def _connect(self, member: Member) -> None:
        if member.identity in self._links:
            return
        link = Link(
            self._identity,
            member.identity,
            member.address,
            self._credentials,
            self._settings,
            self._told,
            self._look.set,
            self._log,
        )
        task = asyncio.create_task(link.run(), name=f"replica {member.identity}")
        task.add_done_callback(self._check)
        self._links[member.identity] = (link, task)

    def _check(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("listening to a replica failed unexpectedly", error=repr(error))
            self._links = {name: each for name, each in self._links.items() if each[1] is not task}

    def _greeted(self, peer: str) -> None:
        """Somebody connected to us whom we may not know yet."""
        if peer not in self._links:
            self._look.set()

    def _told(self, peer: str, report: Report) -> None:
        before = self._reports.get(peer, Report())
        known = {(each.gateway, each.id, each.connection): each for each in before.nodes}
        nodes = []
        for node in report.nodes:
            # an age is a little older on arrival, each time: the first one counts
            first = known.get((node.gateway, node.id, node.connection))
            nodes.append(replace(node, connected_at=first.connected_at) if first else node)
        report = replace(report, nodes=tuple(nodes))
        if report != before or peer not in self._reports:
            self._reports[peer] = report
            self.changed.notify()

    def _unlink(self, identity: str) -> None:
        entry = self._links.pop(identity, None)
        if entry is not None:
            entry[1].cancel()

    def _drop(self, identity: str) -> None:
        self._unlink(identity)
        report = self._reports.pop(identity, None)
        if report is not None:
            self._log.info("a replica is gone", peer=identity)
            self._linger(identity, report)
            self.changed.notify()

    def _linger(self, identity: str, report: Report) -> None:
        if self._settings.linger <= 0:
            return

        def forget() -> None:
            if self._lingering.get(identity) is report:
                del self._lingering[identity]
                self.changed.notify()

        self._lingering[identity] = report
        asyncio.get_running_loop().call_later(self._settings.linger, forget)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._membership.leave()
        except (KubeError, TimeoutError) as error:
            self._log.warning("our Lease stays until it expires", error=str(error))
        self._service.close()
        await self._unlink_all()

    async def _unlink_all(self) -> None:
        tasks = [task for _, task in self._links.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._links.clear()
