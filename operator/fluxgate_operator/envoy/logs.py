"""Envoy's log lines as structured events of ours."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.envoy.words import concise

_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "off": logging.INFO,
}
_DEFAULT_FORMAT = re.compile(
    r"^\[[^\]]+\]\[\d+\]\[(?P<level>\w+)\]\[(?P<logger>[\w ]+)\] \[(?P<source>[^\]]*)\] (?P<message>.*)$"
)


@dataclass(frozen=True, slots=True)
class EnvoyLogLine:
    """One line of Envoy's log. ``level`` is one of :mod:`logging`'s numbers."""

    level: int
    logger: str
    message: str
    source: str = ""


def parse_line(line: str) -> EnvoyLogLine:
    """Read one line: our JSON format, Envoy's default text format, or anything else."""
    if line.startswith("{"):
        try:
            found = json.loads(line)
            return EnvoyLogLine(
                _LEVELS.get(found["level"], logging.INFO),
                found["logger"],
                found["message"],
                found["source"],
            )
        except (ValueError, KeyError, TypeError):
            return EnvoyLogLine(logging.INFO, "", line)
    match = _DEFAULT_FORMAT.match(line)
    if match is None:
        return EnvoyLogLine(logging.INFO, "", line)
    level = _LEVELS.get(match["level"], logging.INFO)
    return EnvoyLogLine(level, match["logger"], match["message"], match["source"])


def pass_on(line: EnvoyLogLine, log: FilteringBoundLogger, pid: int) -> None:
    """Log a line at its own level, with where in Envoy it comes from."""
    log.log(
        line.level,
        concise(line.message),
        envoy_logger=line.logger,
        source=line.source,
        envoy_pid=pid,
    )
