"""Which certificates are out of their time: the one thing about them that only a clock knows.

Translation asks no clock, so the answer is put into the store, as data, beside the Secret it is
about; the objects that present the certificate then say so. It is served all the same: clients
decide, and a listener that vanishes at midnight helps nobody.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from fluxgate.resources import ObjectRef, ResourceStore, Secret, ref_of
from fluxgate.secret import SecretBytes
from fluxgate.translator.certificates import OUT_OF_TIME, out_of_time, validity_of
from fluxgate_operator.reconciler import Reconciler

_EVERY_SECONDS = 60.0


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class ValidityClock:
    """Looks at every certificate of the last turn, after the turn and once a minute."""

    def __init__(
        self,
        store: ResourceStore,
        reconciler: Reconciler,
        now: Callable[[], dt.datetime] = _utc_now,
    ) -> None:
        self._store = store
        self._reconciler = reconciler
        self._now = now
        self._told: dict[ObjectRef, Secret] = {}
        self._seen: Mapping[ObjectRef, Secret] | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            turned = self._reconciler.done.subscribe()
            if self.refresh():
                self._reconciler.poke()
            done, _ = await asyncio.wait([turned], timeout=_EVERY_SECONDS)
            if not done:
                turned.cancel()
                self._seen = None

    def refresh(self) -> bool:
        """Look now; returns whether the store changed."""
        turn = self._reconciler.current
        if turn is None or turn.resources.secrets is self._seen:
            return False
        self._seen = turn.resources.secrets
        told = dict(self._out_of_time(turn.resources.secrets.values()))
        changed = [self._store.remove(ref) for ref in self._told.keys() - told.keys()]
        changed += [self._store.upsert(each) for each in told.values()]
        self._told = told
        return any(changed)

    def _out_of_time(self, secrets: Iterable[Secret]) -> Iterator[tuple[ObjectRef, Secret]]:
        now = self._now()
        for secret in secrets:
            if (validity := validity_of(secret)) is None:
                continue
            begins, ends = validity
            if now > ends:
                words = f"expired at {ends:%Y-%m-%dT%H:%M:%SZ}"
            elif now < begins:
                words = f"is not valid before {begins:%Y-%m-%dT%H:%M:%SZ}"
            else:
                continue
            ref = out_of_time(ref_of(secret))
            data = MappingProxyType({OUT_OF_TIME: SecretBytes(words.encode())})
            yield ref, Secret(ref.namespace, ref.name, "Opaque", data)
