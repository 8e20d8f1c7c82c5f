"""The clock of leases: seconds that pass whatever happens to the process or the machine."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]


def uptime() -> float:
    """Seconds since the machine started, the time it was suspended included (CLOCK_BOOTTIME).

    A process that was stopped and a virtual machine that was paused both find, when they go on,
    that the time has passed; nobody can set this clock.
    """
    return time.clock_gettime(time.CLOCK_BOOTTIME)
