"""A Lease as documents say it (coordination.k8s.io/v1 LeaseSpec)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import LEASES


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who holds a Lease. ``holder`` is empty when it was released. ``duration`` in seconds.

    The times are as their writer's clock said them and are never compared with ours: what
    counts is when *we* saw the record change.
    """

    holder: str
    duration: int
    acquire_time: str
    renew_time: str
    transitions: int
    version: str

    @classmethod
    def of(cls, document: Document) -> LeaseRecord:
        """Read a Lease; whatever is missing counts as released long ago."""
        spec = document.get("spec") or {}
        return cls(
            holder=spec.get("holderIdentity") or "",
            duration=int(spec.get("leaseDurationSeconds") or 0),
            acquire_time=spec.get("acquireTime") or "",
            renew_time=spec.get("renewTime") or "",
            transitions=int(spec.get("leaseTransitions") or 0),
            version=document["metadata"].get("resourceVersion", ""),
        )

    def document(self, namespace: str, name: str) -> Document:
        """The Lease to write; its resource version is the precondition."""
        metadata = {"name": name, "namespace": namespace}
        if self.version:
            metadata["resourceVersion"] = self.version
        spec = {
            "holderIdentity": self.holder,
            "leaseDurationSeconds": self.duration,
            "leaseTransitions": self.transitions,
            "acquireTime": self.acquire_time or None,
            "renewTime": self.renew_time or None,
        }
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": spec,  # null takes a field away
        }


def whole_seconds(seconds: float) -> int:
    """A duration as a Lease can say it: never shorter, at least one second."""
    return max(1, math.ceil(seconds))


def micro_time(moment: datetime | None = None) -> str:
    """meta/v1 MicroTime."""
    now = moment or datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
