"""What a client will ask for because of what it has acknowledged, and since when."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

Reference = tuple[str, str]


class Awaited:
    """References with the time since when they are awaited, in seconds since the epoch.

    Names that came together are kept as one shared set as long as nothing is taken out.
    """

    def __init__(self) -> None:
        self._single: dict[Reference, float] = {}
        self._together: list[tuple[str, frozenset[str], float]] = []

    def add(self, reference: Reference, now: float) -> None:
        """Await ``reference``, unless it is awaited already."""
        url, name = reference
        if not any(each == url and name in names for each, names, _ in self._together):
            self._single.setdefault(reference, now)

    def add_all(self, type_url: str, names: frozenset[str], now: float) -> None:
        """Await all of ``names``."""
        self._together.append((type_url, names, now))

    def discard(self, reference: Reference) -> None:
        """Await ``reference`` no longer."""
        self._split(reference[0], {reference[1]})
        self._single.pop(reference, None)

    def discard_all(self, type_url: str, names: Collection[str]) -> None:
        """Await none of ``names`` any longer."""
        if type_url not in {url for url, _ in self._single} | {url for url, *_ in self._together}:
            return
        wanted = frozenset(names)
        self._together = [
            each for each in self._together if each[0] != type_url or not each[1] <= wanted
        ]
        self._split(type_url, wanted)
        for reference in [each for each in self._single if each[0] == type_url]:
            if reference[1] in wanted:
                del self._single[reference]

    def renew(self, changes: Mapping[str, Collection[str]], now: float) -> None:
        """Wait anew for what has changed meanwhile."""
        for url, names in changes.items():
            self._split(url, names)
        for reference in self._single:
            if reference[1] in changes.get(reference[0], ()):
                self._single[reference] = now

    def outstanding(self, missing: Callable[[str, str], bool]) -> Iterator[tuple[Reference, float]]:
        """What is awaited and ``missing``; of names that came together only one."""
        for reference, since in self._single.items():
            if missing(*reference):
                yield reference, since
        for url, names, since in self._together:
            for name in names:
                if missing(url, name):
                    yield (url, name), since
                    break

    def _split(self, type_url: str, names: Collection[str]) -> None:
        for entry in list(self._together):
            url, together, since = entry
            if url == type_url and not together.isdisjoint(names):
                self._together.remove(entry)
                for name in together:
                    self._single.setdefault((url, name), since)
