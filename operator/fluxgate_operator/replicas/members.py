"""Which replicas there are: each keeps a Lease of its own, and reads those of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate_operator.election.record import LeaseRecord, micro_time, whole_seconds
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import ConflictError, NotFoundError
from fluxgate_operator.kube.types import LEASES, PODS

LABEL = "gateway.fluxgate.io/replica"
ADDRESS = "gateway.fluxgate.io/address"
_PREFIX = "fluxgate-replica-"


@dataclass(frozen=True, slots=True)
class Member:
    """Another replica. ``expired``: its Lease was not renewed for as long as it says."""

    identity: str
    address: str
    lease: str
    uid: str
    expired: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    record: LeaseRecord
    at: float


class Roster:
    """Judges Leases by when they were seen to change, by our own clock; without any I/O."""

    def __init__(self, identity: str) -> None:
        self._identity = identity
        self._seen: dict[str, _Seen] = {}

    def observe(self, leases: Iterable[Document], now: float) -> dict[str, Member]:
        """The other replicas by identity, as one list shows them."""
        found: dict[str, Member] = {}
        seen: dict[str, _Seen] = {}
        for document in leases:
            record, meta = LeaseRecord.of(document), document["metadata"]
            address = (meta.get("annotations") or {}).get(ADDRESS, "")
            if record.holder in ("", self._identity) or not address:
                continue
            known = self._seen.get(meta["uid"])
            if known is None or known.record != record:
                known = _Seen(record, now)
            seen[meta["uid"]] = known
            expired = now >= known.at + record.duration
            found[record.holder] = Member(
                record.holder, address, meta["name"], meta["uid"], expired
            )
        self._seen = seen
        return found


class Membership:
    """This replica's Lease. Every method raises ``KubeError`` as the client does.

    ``pod_uid`` is that of the pod named ``identity``: the garbage collector takes the Lease away
    with it when nobody else does, because this was the last replica, or has lost its rights.
    """

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        identity: str,
        duration: float,
        pod_uid: str = "",
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._duration = duration
        pod = {"apiVersion": PODS.api_version, "kind": PODS.kind, "name": identity, "uid": pod_uid}
        self._owners = [pod] if pod_uid else []

    @property
    def name(self) -> str:
        """The Lease's name."""
        return f"{_PREFIX}{self._identity}"

    async def renew(self, address: str) -> None:
        """Say that we are here, and at which address; one request, two the first time."""
        body = self._document(address)
        try:
            await self._client.merge_patch(LEASES, self._namespace, self.name, body)
        except NotFoundError:
            try:
                await self._client.create(LEASES, self._namespace, body)
            except ConflictError:
                await self._client.merge_patch(LEASES, self._namespace, self.name, body)

    async def others(self) -> tuple[Document, ...]:
        """The Leases of all replicas, ours included."""
        listing = await self._client.list(LEASES, self._namespace, label_selector=f"{LABEL}=true")
        return listing.items

    async def leave(self) -> None:
        """Take our Lease away."""
        await self._delete(self.name, None)

    async def bury(self, member: Member) -> None:
        """Take away the Lease of a replica that is gone without having done so itself."""
        await self._delete(member.lease, member.uid)

    async def _delete(self, name: str, uid: str | None) -> None:
        try:
            await self._client.delete(LEASES, self._namespace, name, uid=uid)
        except (NotFoundError, ConflictError):
            return  # somebody was faster, or it is another Lease by now

    def _document(self, address: str) -> Document:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": self.name,
                "namespace": self._namespace,
                "labels": {LABEL: "true"},
                "annotations": {ADDRESS: address},
                "ownerReferences": self._owners,
            },
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": whole_seconds(self._duration),
                "renewTime": micro_time(),
            },
        }
