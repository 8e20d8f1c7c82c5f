"""The Secrets that something in the store refers to, and no other.

Nothing is kept of a Secret nobody refers to, neither its values nor its name: a control plane
that holds every Secret of a cluster is worth attacking for it. So there is no list of Secrets
either. When a reference appears the Secret is fetched by name, and a resync fetches those that are
referred to again; events of them are taken as they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet

from structlog.typing import FilteringBoundLogger

from fluxgate.api.secrets import parse_secret
from fluxgate.errors import ResourceError
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import KubeError, NotFoundError
from fluxgate_operator.kube.types import SECRETS
from fluxgate_operator.providers.kubernetes.told import News, Told
from fluxgate_operator.providers.kubernetes.versions import Key, Versions, comparable

_FIELDS = ("apiVersion", "kind", "metadata", "type", "data")
_AT_A_TIME = 8


class ReferredSecrets:
    """Keeps the referred Secrets in the store. ``looked`` is set once each was looked for."""

    def __init__(self, store: ResourceStore, log: FilteringBoundLogger) -> None:
        self._store = store
        self._log = log
        self._versions = Versions()
        self._wanted: AbstractSet[Key] = frozenset()
        self._pending: set[Key] = set()
        self.due = asyncio.Event()
        self.looked = asyncio.Event()
        self.problem = ""

    def __len__(self) -> int:
        return len(self._versions)

    def want(self, secrets: AbstractSet[Key]) -> None:
        """These are referred to, and no other: the others leave the store and the memory."""
        for key in self._wanted - secrets:
            self._versions.forget(key)
            self._store.remove(ObjectRef("Secret", *key))
        self._pending = (self._pending & secrets) | (secrets - self._wanted)
        self._wanted = secrets
        if self._pending:
            self.due.set()

    def refresh(self) -> None:
        """Look for all of them again."""
        self._pending = set(self._wanted)
        self.due.set()

    def event(self, told: Told) -> bool:
        """A watch shows a Secret, or that it is gone; returns whether that was news."""
        key = told.namespace, told.name
        version = comparable(told.version)
        if key not in self._wanted:
            return False
        if version is None:
            self.refresh()
        elif told.news is News.GONE:
            if self._versions.deleted(key, version):
                self._store.remove(ObjectRef("Secret", *key))
                return True
        elif self._versions.seen(key, version):
            self._put(key, told.document())
            return True
        return False

    async def fetch(self, client: KubeClient) -> None:
        """Look for what is pending; what could not be looked for stays so. Raises ``KubeError``."""
        pending = sorted(self._pending)
        for start in range(0, len(pending), _AT_A_TIME):
            some = pending[start : start + _AT_A_TIME]
            done = await asyncio.gather(
                *(self._fetch(client, key) for key in some), return_exceptions=True
            )
            for error in filter(None, done):
                raise error
        if not self._pending:
            self.looked.set()

    async def _fetch(self, client: KubeClient, key: Key) -> None:
        known = key in self._versions
        try:
            document = await client.get(SECRETS, *key)
        except NotFoundError:
            if key in self._versions and not known:
                return  # created while we asked: its event is younger than the answer
            if self._versions.forget(key):
                self._store.remove(ObjectRef("Secret", *key))
            self._pending.discard(key)
            return
        version = comparable(document["metadata"].get("resourceVersion"))
        if version is None:
            raise KubeError("a Secret's resource version is no number (KEP-5504)")
        if key in self._wanted and self._versions.seen(key, version):
            self._put(key, document)
        self._pending.discard(key)

    def _put(self, key: Key, document: Document) -> None:
        kept = {field: document[field] for field in _FIELDS if field in document}
        try:
            self._store.upsert(parse_secret(kept, f"Secret {key[0]}/{key[1]}"))
        except ResourceError as error:  # never holds a value
            self._log.error("a Secret cannot be read", problem=str(error))


def reason_of(error: KubeError) -> str:
    """What to say of a Secret that could not be looked for."""
    return f"Secrets that are referred to cannot be read: {error}"
