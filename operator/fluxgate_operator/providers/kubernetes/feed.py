"""One kind: what is known of its objects, who takes them in, and whether a list is due."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import KubeType
from fluxgate_operator.providers.kubernetes.intake import Intake
from fluxgate_operator.providers.kubernetes.told import News, Told
from fluxgate_operator.providers.kubernetes.versions import Key, Versions, comparable

_AT_A_TIME = 50
"""Objects taken in before the event loop is let go on: some milliseconds of parsing."""


class KindFeed:
    """Merges a kind's events and lists, and tells its intakes what is new, each version once.

    ``scopes`` are the namespaces that are watched; None is all of them, or a kind without.
    """

    def __init__(
        self, type_: KubeType, scopes: Iterable[str | None], intakes: Sequence[Intake]
    ) -> None:
        self.type = type_
        self.due = asyncio.Event()
        self.due.set()
        self.listed = asyncio.Event()
        self.listed_at: float | None = None
        self.problem = ""
        self.absent = 0
        """How many times in a row there was no such kind."""
        self._intakes = intakes
        found = scopes if type_.namespaced else (None,)
        self._scopes = {scope: Versions() for scope in found}

    def __len__(self) -> int:
        return sum(map(len, self._scopes.values()))

    def event(self, told: Told) -> bool:
        """A watch shows an object, or that it is gone; returns whether that was news.

        What is known is not decoded. A version that is no number says nothing of its age: the
        next list tells.
        """
        key = told.namespace, told.name
        versions = self._scopes[None] if None in self._scopes else self._scopes.get(key[0])
        version = comparable(told.version)
        if versions is None:
            return False
        if version is None:
            self.due.set()
        elif told.news is News.GONE:
            if versions.deleted(key, version):
                self._drop(key)
                return True
        elif versions.seen(key, version):
            self._put(told.document())
            return True
        return False

    async def list(self, client: KubeClient) -> None:
        """Make what is known true by lists of all scopes.

        Raises ``KubeError``; what came before it counts, since every object has its own version.
        """
        for scope, versions in self._scopes.items():
            await self._list_scope(client, scope, versions)

    async def _list_scope(self, client: KubeClient, scope: str | None, versions: Versions) -> None:
        keys: set[Key] = set()
        at = -1
        async for page in client.pages(self.type, scope):
            if at < 0:
                at = self._version_of(page.resource_version)
                versions.listing(at)
            for count, document in enumerate(page.items, start=1):
                key = _key(document)
                keys.add(key)
                if versions.listed(key, self._version_of(document["metadata"]["resourceVersion"])):
                    # items of a list do not say what they are (meta/v1 List)
                    document.setdefault("kind", self.type.kind)
                    document.setdefault("apiVersion", self.type.api_version)
                    self._put(document)
                    if count % _AT_A_TIME == 0:
                        await asyncio.sleep(0)
        for key in versions.complete(at, keys):
            self._drop(key)

    def _version_of(self, text: str) -> int:
        version = comparable(text)
        if version is None:
            raise KubeError(
                f"{self.type.plural}: resource version {text!r} is no number (KEP-5504)"
            )
        return version

    def vanish(self) -> None:
        """The kind itself is not there (its CRD is not installed): neither are objects of it."""
        for versions in self._scopes.values():
            for key in versions.clear():
                self._drop(key)

    def _put(self, document: Document) -> None:
        for intake in self._intakes:
            intake.put(document)

    def _drop(self, key: Key) -> None:
        for intake in self._intakes:
            intake.drop(*key)


def _key(document: Document) -> Key:
    meta = document["metadata"]
    return meta.get("namespace", ""), meta["name"]
