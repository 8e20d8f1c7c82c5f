"""Who is connected, what each node has acknowledged, and what it has rejected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fluxgate.ports import NodeState, TypeState

Clock = Callable[[], float]


@dataclass(slots=True)
class Counters:
    """Totals since the start of the process."""

    streams_opened: int = 0
    streams_closed: int = 0
    streams_refused: int = 0
    responses: int = 0
    response_bytes: int = 0
    nacks: int = 0
    nacks_by_type: dict[str, int] = field(default_factory=dict)
    """The same by type URL."""


@dataclass(slots=True, eq=False)
class NodeHandle:
    """One stream's pen in the registry; only the newest stream of a node writes."""

    _registry: NodeRegistry
    _key: tuple[str, str]

    def update(self, types: Mapping[str, TypeState], snapshot: str) -> None:
        """Record the state of every type and the newest snapshot acknowledged in whole."""
        self._registry.update(self, self._key, types, snapshot)

    def close(self) -> None:
        """The stream has ended."""
        self._registry.disconnect(self, self._key)


@dataclass(slots=True)
class _Entry:
    owner: NodeHandle
    state: NodeState


@dataclass(slots=True)
class NodeRegistry:
    """Implements :class:`fluxgate.ports.NodeReader`.

    Nodes that have left are kept for ``keep`` seconds, and at most ``keep_at_most``
    of them, so that a restart of Envoy does not make it vanish from the tables.
    """

    clock: Clock = time.time
    keep: float = 900.0
    keep_at_most: int = 1000
    counters: Counters = field(default_factory=Counters)
    _entries: dict[tuple[str, str], _Entry] = field(default_factory=dict)
    _gone: dict[tuple[str, str], None] = field(default_factory=dict)
    """Keys of nodes that have left, the longest gone first."""
    _next: asyncio.Event = field(default_factory=asyncio.Event)

    def connect(
        self, gateway: str, node: str, user_agent: str, metadata: Mapping[str, object]
    ) -> NodeHandle:
        """A node has opened a stream; an earlier stream of the same node loses its voice."""
        now = self.clock()
        handle = NodeHandle(self, (gateway, node))
        state = NodeState(
            id=node,
            gateway=gateway,
            connected=True,
            user_agent=user_agent,
            connected_at=now,
            last_seen=now,
            snapshot="",
            metadata=metadata,
        )
        self._gone.pop((gateway, node), None)
        self._entries[gateway, node] = _Entry(handle, state)
        self.counters.streams_opened += 1
        self._notify()
        return handle

    def update(
        self,
        owner: NodeHandle,
        key: tuple[str, str],
        types: Mapping[str, TypeState],
        snapshot: str,
    ) -> None:
        """See :meth:`NodeHandle.update`."""
        entry = self._entries.get(key)
        if entry is None or entry.owner is not owner:
            return
        before = entry.state
        known = before.types
        entry.state = replace(before, types=types, snapshot=snapshot, last_seen=self.clock())
        for url, state in types.items():
            if state.nack is not None and state.nack != known.get(url, TypeState()).nack:
                self.counters.nacks += 1
                self.counters.nacks_by_type[url] = self.counters.nacks_by_type.get(url, 0) + 1
        if types != known or snapshot != before.snapshot:
            self._notify()

    def disconnect(self, owner: NodeHandle, key: tuple[str, str]) -> None:
        """See :meth:`NodeHandle.close`."""
        self.counters.streams_closed += 1
        entry = self._entries.get(key)
        if entry is None or entry.owner is not owner:
            return
        entry.state = replace(entry.state, connected=False, last_seen=self.clock())
        self._gone[key] = None
        if len(self._gone) > self.keep_at_most:
            self._forget()
        self._notify()

    def nodes(self, gateway: str | None = None) -> tuple[NodeState, ...]:
        """Every known node, of one gateway or of all, ordered by id."""
        self._forget()
        states = (entry.state for entry in self._entries.values())
        chosen = (each for each in states if gateway is None or each.gateway == gateway)
        return tuple(sorted(chosen, key=lambda each: (each.id, each.gateway)))

    def changed(self) -> Coroutine[Any, Any, None]:
        """Return when anything changed since this call (not since it is first awaited)."""
        return self._after(self._next)

    @staticmethod
    async def _after(event: asyncio.Event) -> None:
        await event.wait()

    def _notify(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    def _forget(self) -> None:
        oldest = self.clock() - self.keep
        while self._gone:
            key = next(iter(self._gone))
            recent = self._entries[key].state.last_seen >= oldest
            if recent and len(self._gone) <= self.keep_at_most:
                return
            del self._gone[key], self._entries[key]
