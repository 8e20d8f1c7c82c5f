"""Connections that do not begin a request: uvicorn would keep them for ever."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it (h11), for senders whose head arrives within ``head_seconds``.

    Between two requests uvicorn waits by itself for no more than its ``timeout_keep_alive``, as long as nothing
    arrives: before the first one, and in the middle of a head, it waits without end.
    """

    def __init__(self, head_seconds: float, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        super().__init__(*args, **kwargs)
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """A part of a request."""
        self._wait_for_head()
        super().data_received(data)
        if self._serving():
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _serving(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait_for_head(self) -> None:
        if self._head_timer is None and not self._serving():
            self._head_timer = self.loop.call_later(self._head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self._serving() and not self.transport.is_closing():
            self.transport.close()


def impatient(head_seconds: float) -> Any:  # noqa: ANN401 - uvicorn asks for a class, and calls it
    """The protocol for ``uvicorn.Config(http=…)``."""
    return partial(ImpatientProtocol, head_seconds)
