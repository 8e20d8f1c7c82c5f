"""A constant stream of requests, counted, while something else happens."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import httpx

_INTERVAL = 0.01


class Load:
    """One request every 10 ms to ``url`` while the context lasts; every one is counted.

    Each has a connection of its own unless ``keep_alive``. ``answers`` counts status codes, and the names of exceptions for requests without an answer.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        *,
        verify: ssl.SSLContext | bool = True,
        keep_alive: bool = True,
    ) -> None:
        self._url = url
        self._headers = headers or {}
        self._verify = verify
        self._limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.answers: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(60)

    @property
    def total(self) -> int:
        """How many requests were made."""
        return self.answers.total()

    @property
    def failed(self) -> dict[str, int]:
        """Everything but 200."""
        return {answer: count for answer, count in self.answers.items() if answer != "200"}

    def _run(self) -> None:
        with httpx.Client(
            timeout=60.0, headers=self._headers, verify=self._verify, limits=self._limits
        ) as client:
            due = time.monotonic()
            while not self._stop.is_set():
                try:
                    self.answers[str(client.get(self._url).status_code)] += 1
                except httpx.HTTPError as error:
                    self.answers[type(error).__name__] += 1
                due += _INTERVAL
                self._stop.wait(max(0.0, due - time.monotonic()))


@contextmanager
def constant_load(port: int, path: str, workers: int = 3) -> Iterator[Counter[int]]:
    """Count the statuses of requests that ``workers`` send without a pause; 0 for a refused or cut connection."""
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def send() -> None:
        with httpx.Client() as client:
            while not over.is_set():
                try:
                    status = client.get(f"http://127.0.0.1:{port}{path}").status_code
                except httpx.TransportError:
                    status = 0
                statuses[status] += 1

    threads = [threading.Thread(target=send) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()
