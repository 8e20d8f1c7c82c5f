"""Structured logs on standard error, for people or for machines. No global configuration."""

from __future__ import annotations

import logging
import sys
from enum import StrEnum
from typing import cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor


class LogFormat(StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def make_logger(form: LogFormat, level: LogLevel, *, colours: bool) -> FilteringBoundLogger:
    """A logger that writes to standard error as it is now."""
    is_json = form is LogFormat.JSON
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if is_json else "%H:%M:%S.%f", utc=is_json),
    ]
    if is_json:
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=colours, exception_formatter=structlog.dev.plain_traceback
            )
        )
    return cast(
        "FilteringBoundLogger",
        structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=processors,
            wrapper_class=structlog.make_filtering_bound_logger(
                logging.getLevelNamesMapping()[level.upper()]
            ),
            cache_logger_on_first_use=False,
        ),
    )
