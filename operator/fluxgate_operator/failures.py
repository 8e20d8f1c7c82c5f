"""What went wrong, out of groups of exceptions."""

from __future__ import annotations


def first_cause(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first, out of groups within groups."""
    cause: BaseException = failures
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return cause
