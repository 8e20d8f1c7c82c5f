"""What the status writer is told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StatusSettings:
    """How statuses are written. Seconds.

    ``concurrency`` requests run at a time. An object that is on its way to the nodes is given
    ``pending_seconds`` to arrive before its status says so: mostly it arrives, and one write is
    enough. One that was programmed in its present form and is not any more (a node restarts, a
    replica was lost) is given ``lost_seconds``. Every ``resync_seconds`` all statuses are
    compared again, in case somebody else changed them. Changes within ``coalesce_seconds`` are
    looked at together. ``backoff`` and ``backoff_limit`` are
    for an API server that does not answer or does not show what it has yet. More than ``bulk``
    objects at once (a start, above all) wait up to ``bulk_seconds`` while nodes have yet to take
    what they are about: the nodes come first, and then one write says all there is to say.
    """

    concurrency: int = 16
    pending_seconds: float = 1.0
    lost_seconds: float = 10.0
    resync_seconds: float = 300.0
    coalesce_seconds: float = 0.01
    backoff: float = 0.1
    backoff_limit: float = 3.0
    bulk: int = 256
    bulk_seconds: float = 5.0
