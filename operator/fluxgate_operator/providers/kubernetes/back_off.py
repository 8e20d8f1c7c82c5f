"""How long to wait before something is tried again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackOffs:
    """0.2, 0.5, 1, 2 and then ever ``limit`` seconds; kopf gives up when its back-offs end."""

    limit: float = 3.0

    def __iter__(self) -> Iterator[float]:
        for each in (0.2, 0.5, 1.0, 2.0):
            yield min(each, self.limit)
        while True:
            yield self.limit
