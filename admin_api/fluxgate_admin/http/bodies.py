"""Bodies of requests: read whole before anybody looks at them, up to a size and for so long."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Scope

from fluxgate_admin.errors import RequestTimeoutError, TooLargeError


class ClientGoneError(Exception):
    """Who sends the request left before its end: what came of it is no request."""


class Bodies:
    """Reads bodies of at most ``limit`` bytes that arrive within ``seconds``."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The body. Raises ``TooLargeError``, ``RequestTimeoutError`` and :class:`ClientGoneError`."""
        if _declared(scope) > self._limit:
            raise self._too_large()
        try:
            async with asyncio.timeout(self._seconds):
                return await self._parts(receive)
        except TimeoutError:
            raise RequestTimeoutError(
                f"The body did not arrive within {self._seconds:g} s.",
                headers={"connection": "close"},
            ) from None

    async def _parts(self, receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limit:
                raise self._too_large()
            if not message.get("more_body", False):
                return b"".join(parts)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"The body is larger than {self._limit} bytes.")


def replay(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read, and then what ``receive`` gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
