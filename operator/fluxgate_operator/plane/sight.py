"""Whether a provider has taken in what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from fluxgate.ports import Pending
from fluxgate.resources import ObjectRef
from fluxgate_operator.notify import Signal
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.providers.kubernetes.intake import ObjectFacts
from fluxgate_operator.providers.kubernetes.versions import comparable


class Sight(Protocol):
    """What a provider knows of writes that others made."""

    async def taken_in(self, writes: Iterable[Pending]) -> None:
        """Return when the store holds ``writes``, or newer ones of the same objects."""
        ...


class FolderSight:
    """A write to a folder is complete before anybody asks: what is there now is what matters."""

    def __init__(self, provider: DirectoryProvider) -> None:
        self._provider = provider

    async def taken_in(self, writes: Iterable[Pending]) -> None:
        """See :class:`Sight`."""
        del writes
        await self._provider.settled()


class KnownFacts(Protocol):
    """What is known of the API server's objects; ``heard`` is notified when it may be more."""

    heard: Signal

    def facts(self, ref: ObjectRef) -> ObjectFacts | None:
        """The facts of one object; None when there is no such object (any more)."""
        ...


class ClusterSight:
    """A write to an API server comes back by a watch or a list, with its resource version."""

    def __init__(self, provider: KnownFacts) -> None:
        self._provider = provider

    async def taken_in(self, writes: Iterable[Pending]) -> None:
        """See :class:`Sight`. An object that somebody else deleted meanwhile is never seen."""
        missing = [self._question(each) for each in writes]
        while True:
            heard = self._provider.heard.subscribe()
            missing = [is_there for is_there in missing if not is_there()]
            if not missing:
                heard.cancel()
                return
            await heard

    def _question(self, write: Pending) -> Callable[[], bool]:
        before = self._provider.facts(write.ref)
        uid = before.uid if before is not None else ""

        def gone() -> bool:
            now = self._provider.facts(write.ref)
            return now is None or now.uid != uid  # made anew by somebody else

        def there() -> bool:
            now = self._provider.facts(write.ref)
            return now is not None and _at_least(now.resource_version, write.version)

        return there if write.version else gone


def _at_least(known: str, wanted: str) -> bool:
    """Resource versions of one kind are ordered (KEP-5504)."""
    left, right = comparable(known), comparable(wanted)
    return known == wanted if left is None or right is None else left >= right
