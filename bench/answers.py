"""What one HTTP listener answers, asked again and again over one connection that is kept."""

from __future__ import annotations

import asyncio
import http.client
import time

from bench.harness import BenchError

_BETWEEN = 0.0005


class Answers:
    """A client of ``127.0.0.1:port``. A connection that is refused or cut is an answer too: 0."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)

    def ask(self, path: str) -> tuple[int, str]:
        """Status and body."""
        try:
            self._connection.request("GET", path)
            response = self._connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return 0, str(error)

    async def until(self, path: str, wanted: tuple[int, str | None], seconds: float) -> float:
        """Ask until the status, and the body unless None, are so; when that was (perf_counter)."""
        deadline = time.perf_counter() + seconds
        while True:
            status, body = self.ask(path)
            now = time.perf_counter()
            if status == wanted[0] and wanted[1] in (None, body):
                return now
            if now > deadline:
                raise BenchError(f"{path} answered {status} {body[:80]!r} for {seconds:.0f} s")
            await asyncio.sleep(_BETWEEN)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
