"""Requests at a constant rate over one connection, every answer counted."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

_INTERVAL = 0.01
_ANSWER_SECONDS = 10.0


class Load:
    """100 requests a second while the context lasts, to a path of a port on loopback.

    ``answers`` counts statuses, and the names of exceptions where there was no answer. The
    connection is kept alive and made anew only after it failed, which counts as a failure.
    """

    def __init__(self, port: int, path: str) -> None:
        self._port, self._path = port, path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.answers: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """How many requests were answered or failed so far."""
        return self.answers.total()

    @property
    def failed(self) -> dict[str, int]:
        """Everything but 200."""
        return {answer: count for answer, count in self.answers.items() if answer != "200"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        due = time.monotonic()
        while not self._over.is_set():
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                answer.read()
                self.answers[str(answer.status)] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[type(error).__name__] += 1
                connection.close()
            due = max(due + _INTERVAL, time.monotonic() - _INTERVAL)
            self._over.wait(max(0.0, due - time.monotonic()))
        connection.close()
