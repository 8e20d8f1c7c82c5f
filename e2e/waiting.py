"""Wait for what a cluster brings about in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(what: str, attempt: Callable[[], T], seconds: float = 180.0) -> T:
    """The first result of ``attempt`` that is true and not an error; fails with the last one."""
    deadline = time.monotonic() + seconds
    last: object = None
    while time.monotonic() < deadline:
        try:
            if result := attempt():
                return result
            last = result
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being so is told below
            last = error
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s; last: {last!r}")
