"""What went wrong, out of groups of exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_cause_alone() -> Iterator[None]:
    """Raise what went wrong first in a group of tasks, or in groups within it, without the group."""
    try:
        yield
    except BaseExceptionGroup as failures:
        cause: BaseException = failures
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        raise cause from None
