"""Says each problem of a file once, when it appears."""

from __future__ import annotations

from collections.abc import Iterable

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.problems import FileProblem


class ProblemLog:
    """Remembers what was said, so that a problem that stays is not said again."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._told: frozenset[FileProblem] = frozenset()

    def tell(self, problems: Iterable[FileProblem]) -> None:
        """Log the problems that are new since the last call, and those that are gone."""
        now = frozenset(problems)
        for problem in sorted(now - self._told):
            self._log.error("a file has a problem", place=str(problem))
        for problem in sorted(self._told - now):
            self._log.info("a problem of a file is gone", place=str(problem))
        self._told = now
