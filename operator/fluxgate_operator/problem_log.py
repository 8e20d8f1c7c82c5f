"""Says what is wrong with files and objects on the log: once, when it appears."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from structlog.typing import FilteringBoundLogger

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate_operator.problems import FileProblem

Place = Callable[[ObjectRef], tuple[str, int] | None]
"""File and line an object comes from."""


class ProblemLog:
    """Remembers what was said, so that a problem that stays is not said again."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._told: frozenset[FileProblem] = frozenset()
        self._statuses: Mapping[ObjectRef, ObjectStatus] = {}
        self._broken: dict[ObjectRef, tuple[Condition, ...]] = {}

    def tell(self, problems: Iterable[FileProblem]) -> None:
        """Log the problems that are new since the last call, and those that are gone."""
        now = frozenset(problems)
        for problem in sorted(now - self._told):
            self._log.error("a file has a problem", place=str(problem))
        for problem in sorted(self._told - now):
            self._log.info("a problem of a file is gone", place=str(problem))
        self._told = now

    def tell_objects(self, statuses: Mapping[ObjectRef, ObjectStatus], place: Place) -> None:
        """Log the objects that are not taken as they are written, since the last call.

        An object that is switched off on purpose is none, and what Envoy rejects is said
        by who finds it (:mod:`fluxgate_operator.isolation`).
        """
        before, self._statuses = self._statuses, statuses
        for ref, status in statuses.items():
            if before.get(ref) is not status:
                self._tell_object(ref, _faults(status), place)
        for gone in self._broken.keys() - statuses.keys():
            del self._broken[gone]

    def _tell_object(self, ref: ObjectRef, faults: tuple[Condition, ...], place: Place) -> None:
        before = self._broken.pop(ref, ())
        if faults:
            self._broken[ref] = faults
        file, line = place(ref) or ("", 0)
        for fault in faults:
            if fault not in before:
                self._log.error(
                    "an object has a problem",
                    subject=str(ref),
                    place=f"{file}:{line}" if line else file,
                    reason=str(fault.reason),
                    problem=fault.message,
                )
        if before and not faults:
            self._log.info("the problems of an object are gone", subject=str(ref))


def _faults(status: ObjectStatus) -> tuple[Condition, ...]:
    return tuple(
        each
        for each in status.conditions
        if not each.status
        and each.type is not ConditionType.PROGRAMMED
        and each.reason not in (Reason.DISABLED, Reason.ENVOY_REJECTED)
    )
