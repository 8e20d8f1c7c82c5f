"""The command line in this process, as its ``main`` runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Fluxgate = Callable[..., Ran]
"""``fluxgate(*arguments)`` runs the command line and returns what came of it."""
