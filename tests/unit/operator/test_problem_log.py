"""What is said about files, and how often."""

from __future__ import annotations

import structlog

from fluxgate_operator.problem_log import ProblemLog
from fluxgate_operator.problems import FileProblem

ONE = FileProblem("a.yaml", 3, 1, "not YAML")
TWO = FileProblem("b.yaml", 0, 0, "cannot be read")


def test_a_problem_is_said_when_it_appears_and_when_it_is_gone_and_not_in_between() -> None:
    with structlog.testing.capture_logs() as logs:
        problems = ProblemLog(structlog.get_logger())
        problems.tell([ONE])
        problems.tell([ONE, TWO])
        problems.tell([TWO])
        problems.tell([ONE, TWO])
    said = [(each["log_level"], each["place"]) for each in logs]
    assert said == [
        ("error", "a.yaml:3:1: not YAML"),
        ("error", "b.yaml: cannot be read"),
        ("info", "a.yaml:3:1: not YAML"),
        ("error", "a.yaml:3:1: not YAML"),
    ]


def test_two_logs_know_nothing_of_each_other() -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            ProblemLog(structlog.get_logger()).tell([ONE])
    assert len(logs) == 2
