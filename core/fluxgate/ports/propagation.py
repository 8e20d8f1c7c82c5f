"""Who serves a revision of the resources."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LagReason(StrEnum):
    """Why a node does not serve a revision yet."""

    DISCONNECTED = "Disconnected"
    NOT_ACKNOWLEDGED = "NotAcknowledged"
    REJECTED = "Rejected"
    NOT_SERVING = "NotServing"


@dataclass(frozen=True, slots=True)
class Lag:
    """A node that does not serve the revision, and why, in words for people."""

    node: str
    reason: LagReason
    message: str


@dataclass(frozen=True, slots=True)
class Propagation:
    """Who serves ``revision``. ``reconciled`` is False while no turn has included it."""

    revision: int
    reconciled: bool
    served: tuple[str, ...]
    lagging: tuple[Lag, ...]

    @property
    def complete(self) -> bool:
        """Whether there is a node, and every one serves the revision."""
        return self.reconciled and bool(self.served) and not self.lagging
