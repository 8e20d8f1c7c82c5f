"""The rules of leader election, without any I/O: who may write, and who may take over.

As client-go's leaderelection: a record counts from when it was *seen* to change, by the clock
of whoever sees it, so that clocks need not agree. The holder gives up after ``renew_deadline``
counted from *before* its last successful request; others wait for the whole ``duration``
counted from *after* they saw its effect. With a deadline shorter than the duration there are
never two at a time.
"""

from __future__ import annotations

from dataclasses import replace

from fluxgate_operator.election.record import LeaseRecord, whole_seconds
from fluxgate_operator.settings import LeaseSettings

_RELEASED_SECONDS = 1


class Tenure:
    """What one candidate knows. All times are seconds of one clock that never goes back.

    Two processes must not share an identity at a time: a record that names us is ours, so that
    a container that is started again goes on without waiting for its own Lease to expire.
    """

    def __init__(self, identity: str, settings: LeaseSettings) -> None:
        if not settings.renew_deadline < settings.duration:
            raise ValueError("a Lease's renew_deadline has to be shorter than its duration")
        self._identity = identity
        self._settings = settings
        self._record: LeaseRecord | None = None
        self._seen_at = 0.0
        self._valid_until = 0.0

    @property
    def record(self) -> LeaseRecord | None:
        """The Lease as last seen; None when there is none."""
        return self._record

    @property
    def holder(self) -> str:
        """Whoever the Lease names; empty when nobody."""
        return self._record.holder if self._record is not None else ""

    def observe(self, record: LeaseRecord | None, now: float) -> None:
        """The Lease was read. One that names somebody else ends our tenure."""
        if record != self._record:
            self._record, self._seen_at = record, now
        if record is None or record.holder != self._identity:
            self._valid_until = 0.0

    def granted(self, record: LeaseRecord, asked: float, now: float) -> None:
        """Our write was accepted; ``asked`` is when it was sent."""
        self.observe(record, now)
        self._valid_until = asked + self._settings.renew_deadline

    def give_up(self) -> None:
        """Lead no longer, whatever the Lease says."""
        self._valid_until = 0.0

    def leading(self, now: float) -> bool:
        """Whether we may write."""
        return now < self._valid_until

    def remaining(self, now: float) -> float:
        """How long we may still write without a renewal, in seconds."""
        return max(0.0, self._valid_until - now)

    def may_ask(self, now: float) -> bool:
        """Whether the Lease is ours to renew, or free, or expired."""
        if self._record is None or self._record.holder in ("", self._identity):
            return True
        return now >= self._seen_at + self._record.duration

    def wanted(self, moment: str) -> LeaseRecord:
        """What to write, to acquire or to renew; ``moment`` is a MicroTime."""
        record, duration = self._record, whole_seconds(self._settings.duration)
        if record is None:
            return LeaseRecord(self._identity, duration, moment, moment, 0, "")
        if record.holder == self._identity:
            return replace(record, duration=duration, renew_time=moment)
        return LeaseRecord(
            self._identity, duration, moment, moment, record.transitions + 1, record.version
        )

    def released(self, moment: str) -> LeaseRecord | None:
        """What to write on the way out; None when the Lease is not ours."""
        record = self._record
        if record is None or record.holder != self._identity:
            return None
        return replace(record, holder="", duration=_RELEASED_SECONDS, renew_time=moment)
