"""How often who has not shown a good credential may be refused in a minute, by where it calls from.

A call that is refused before anybody is known costs queries, hashes, reviews of tokens and a row of the
audit log. So it counts for the address it comes from, and beyond the limit that address is answered 429
before any of that. Others may be behind the same address (a proxy, a NAT): a credential that was good from
there is let through, and counts its own failures.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import structlog
from limits import RateLimitItemPerMinute, WindowStats
from structlog.typing import FilteringBoundLogger

from fluxgate_admin.auth.addresses import Address
from fluxgate_admin.errors import TooManyRequestsError
from fluxgate_admin.http.windows import Windows

_log = structlog.get_logger(__name__)

_FAILURES = "failures"
_KNOWN = 10_000
"""Credentials that were good, by place: digests, a megabyte of them."""
_TOLD = 10_000
_MINUTE = 60.0
_PATIENCE = 5.0
"""Seconds to wait for others of the same place to be known or refused."""
_FULL = "{} calls from here were refused within a minute"
_BUSY = "Too many calls from here have not shown who they are yet"


class TooManyFailuresError(TooManyRequestsError):
    """Too many were refused there. ``first`` is whether nobody was told within this minute."""

    default_error = "too_many_failures"

    def __init__(self, message: str, seconds: int, *, first: bool) -> None:
        self.first = first
        super().__init__(message, headers={"retry-after": str(seconds)})


@dataclass(slots=True)
class _Door:
    """Calls of one place that are neither known nor refused yet; ``moved`` is set when that changes."""

    open: int = 0
    waiting: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class FailedCalls:
    """Counts refused calls; ``most`` a minute from one place, 0 for no limit.

    Places are counted in ``windows`` (together, where that is Redis); which credentials were good, and how
    often they failed, each process knows for itself. Everything kept is bounded.
    """

    def __init__(
        self, most: int, windows: Windows, log: FilteringBoundLogger | None = None
    ) -> None:
        self._log = log if log is not None else _log
        self._item = RateLimitItemPerMinute(most) if most else None
        self._places = windows
        self._credentials = Windows()
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()
        self._doors: dict[str, _Door] = {}

    def attempt(self, address: Address | None) -> Attempt:
        """A call that begins, from an address; None: nobody knows from where."""
        return Attempt(self, place_of(address))

    async def enter(self, place: str, credential: bytes) -> bool:
        """Let a call in; whether it has to prove itself first (and :meth:`leave` then).

        As many are let in at once as could fail: the others wait for them. Raises :class:`TooManyFailuresError`.
        """
        if self._item is None:
            return False
        if credential in self._known:
            window = await self._credentials.look(self._item, _FAILURES, credential.hex())
            if window.remaining <= 0:
                raise self._refused(f"{place} {credential.hex()}", place, window)
            return False
        door = self._doors.setdefault(place, _Door())
        door.waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await self._may_try(place, door):
                    if credential in self._known:  # another call with it was faster
                        return False
                    await door.moved.wait()
        except TimeoutError:
            raise self._refusal(place, place, _BUSY, 1) from None
        finally:
            door.waiting -= 1
            self._drop(place, door)
        return True

    async def _may_try(self, place: str, door: _Door) -> bool:
        assert self._item is not None
        door.moved.clear()
        window = await self._places.look(self._item, _FAILURES, place)
        if window.remaining <= 0:
            raise self._refused(place, place, window)
        if door.open >= window.remaining:
            return False
        door.open += 1
        return True

    async def failed(self, place: str, credential: bytes) -> None:
        """Count a call that was refused."""
        if self._item is None:
            return
        if credential in self._known:
            await self._credentials.take(self._item, _FAILURES, credential.hex())
        else:
            await self._places.take(self._item, _FAILURES, place)

    def leave(self, place: str) -> None:
        """A call that had to prove itself did so, or ended."""
        door = self._doors[place]
        door.open -= 1
        door.moved.set()
        self._drop(place, door)

    def know(self, credential: bytes) -> None:
        """It was good."""
        if self._item is None or not credential:
            return
        self._known[credential] = None
        self._known.move_to_end(credential)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)

    def _drop(self, place: str, door: _Door) -> None:
        if not door.open and not door.waiting and self._doors.get(place) is door:
            del self._doors[place]

    def _refused(self, name: str, place: str, window: WindowStats) -> TooManyFailuresError:
        assert self._item is not None
        seconds = max(1, math.ceil(window.reset_time - time.time()))
        return self._refusal(name, place, _FULL.format(self._item.amount), seconds)

    def _refusal(self, name: str, place: str, why: str, seconds: int) -> TooManyFailuresError:
        now = time.monotonic()
        first = self._told.get(name, now) <= now
        if first:
            self._told[name] = now + _MINUTE
            self._told.move_to_end(name)
            while len(self._told) > _TOLD:
                self._told.popitem(last=False)
            self._log.warning("failed_calls_refused", place=place, reason=why)
        return TooManyFailuresError(f"{why}: try again in {seconds} s.", seconds, first=first)


class Attempt:
    """One call, until it is known who makes it, or it has failed."""

    def __init__(self, calls: FailedCalls, place: str) -> None:
        self._calls = calls
        self._place = place
        self._credential = b""
        self._proving = False
        self._known = False

    async def begin(self, key: bytes, authorization: bytes, form: bytes) -> None:
        """Go on if it may, with all the call shows of who it is. Raises :class:`TooManyFailuresError`."""
        self._credential = self._digest(key, authorization, form)
        self._proving = await self._calls.enter(self._place, self._credential)

    def known(self) -> None:
        """What it shows is good: from here it will be let through."""
        self._known = True
        self._calls.know(self._credential)
        self._done_proving()

    def issued(self, token: bytes) -> None:
        """It was given a token: that is good from here, too."""
        self._calls.know(self._digest(b"", b"Bearer " + token, b""))

    async def end(self, *, refused: bool) -> None:
        """The call was answered; ``refused``: with a refusal."""
        try:
            if refused and not self._known:
                await self._calls.failed(self._place, self._credential)
        finally:
            self._done_proving()

    def _done_proving(self) -> None:
        if self._proving:
            self._proving = False
            self._calls.leave(self._place)

    def _digest(self, *shown: bytes) -> bytes:
        if not any(shown):
            return b""
        hashed = hashlib.sha256(self._place.encode())
        for each in shown:
            hashed.update(len(each).to_bytes(8, "big") + each)
        return hashed.digest()


def place_of(address: Address | None) -> str:
    """What counts as one place: an IPv4 address, a /64 of IPv6 (whoever has one address there has all)."""
    if address is None:
        return "unknown"
    if address.version == 4:
        return str(address)
    return f"{type(address)(int(address) >> 64 << 64)}/64"
