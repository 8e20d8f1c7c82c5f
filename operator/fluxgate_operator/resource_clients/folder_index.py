"""Which file of a folder holds which object, and what it says; kept up to date by the kernel's news.

Follows the rules of :class:`~fluxgate_operator.providers.directory.DirectoryProvider`: of two files that define
one object the first by path counts, and what a file said last stays while it cannot be read.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fluxgate.api.canonical import OURS, canonical, digest
from fluxgate.ports.resources import Stored
from fluxgate.resources import ObjectRef
from fluxgate_operator.documents import MAX_FILE_BYTES
from fluxgate_operator.providers.scan import Stamp, scan, stamp_of
from fluxgate_operator.providers.watch import Changes, FolderWatch
from fluxgate_operator.resource_clients.file_text import Content, Contents, FileText, read_text

CREATED_AT = f"{OURS}created-at"
"""The annotation that keeps when an object was made; files have no such time of their own."""
_AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class _File:
    stamp: Stamp | None
    digest: bytes
    objects: Mapping[ObjectRef, Stored]
    parts: Mapping[str, Contents]
    contents: Mapping[ObjectRef, Content]


@dataclass(frozen=True, slots=True)
class _Read:
    """What reading one path found: None in ``file`` when it is as it was."""

    path: Path
    file: _File | None
    there: bool = True


class FolderIndex:
    """Everything below ``root``. Not safe for two tasks at once: whoever calls takes turns."""

    def __init__(self, root: Path, watch: FolderWatch) -> None:
        self._root = root
        self._watch = watch
        self._files: dict[Path, _File] = {}
        self._owners: dict[ObjectRef, tuple[Path, ...]] = {}
        self._unsettled: set[ObjectRef] = set()
        self._behind = False
        """Whether the last look was broken off: the kernel does not tell anything twice."""
        self.objects: dict[ObjectRef, Stored] = {}

    def owners(self, ref: ObjectRef) -> tuple[Path, ...]:
        """The files that define an object; the first is the one that counts."""
        return self._owners.get(ref, ())

    def parts(self, path: Path) -> Mapping[str, Contents]:
        """What is known of the parts of a file, by their text."""
        file = self._files.get(path)
        return file.parts if file is not None else {}

    async def load(self) -> None:
        """Read everything. Raises ``OSError`` when the folder cannot be watched."""
        await self.take(Changes(frozenset(), everything=True))

    async def refresh(self) -> set[ObjectRef]:
        """Take in what was written before the call; returns the objects that may have changed."""
        return await self.take(self._watch.known())

    async def take(self, changes: Changes) -> set[ObjectRef]:
        """Look again at what changed; returns the objects that may have."""
        everything, self._behind = changes.everything or self._behind, True
        if everything or not await self._joined(changes.folders):
            await self._rescan()
        if changes.files:
            await self._read(sorted(changes.files), forced=True)
        self._behind = False
        touched, self._unsettled = self._unsettled, set()
        for ref in touched:
            self._settle(ref)
        return touched

    async def _joined(self, folders: Iterable[Path]) -> bool:
        """Read folders that are new, without looking at the others; False when that does not suffice."""
        for folder in sorted(folders):
            more = True
            while more:
                tree = await asyncio.to_thread(scan, folder)
                if not tree.plain:
                    return False
                await self._read(tree.files, forced=False)
                more = self._watch.extend(tree.folders)
        return True

    async def _rescan(self) -> None:
        while True:
            tree = await asyncio.to_thread(scan, self._root)
            if self._root.is_dir():
                closed = tuple(path for path, _ in tree.unreadable if path.exists())
                gone = [
                    path
                    for path in self._files.keys() - set(tree.files)
                    if not any(map(path.is_relative_to, closed))
                ]
                await self._read([*tree.files, *gone], forced=False)
            if not self._watch.follow(tree.folders, tree.linked):
                return

    async def _read(self, paths: Iterable[Path], *, forced: bool) -> None:
        waiting = iter(paths)
        while some := list(itertools.islice(waiting, _AT_A_TIME)):
            known = [(path, self._files.get(path)) for path in some]
            for read in await asyncio.to_thread(_read_all, known, forced):
                self._unsettled |= self._put(read)

    def _put(self, read: _Read) -> set[ObjectRef]:
        if read.file is None and read.there:
            return set()
        old = self._files.pop(read.path, None)
        before = set(old.objects) if old is not None else set()
        now: set[ObjectRef] = set()
        if read.file is not None:
            self._files[read.path] = read.file
            now = set(read.file.objects)
        for ref in before - now:
            self._own(ref, {*self._owners[ref]} - {read.path})
        for ref in now - before:
            self._own(ref, {*self._owners.get(ref, ()), read.path})
        return before | now

    def _own(self, ref: ObjectRef, paths: set[Path]) -> None:
        if paths:
            self._owners[ref] = tuple(sorted(paths))
        else:
            del self._owners[ref]

    def _settle(self, ref: ObjectRef) -> None:
        if owners := self._owners.get(ref):
            file = owners[0]
            found = self._files[file].objects[ref]
            self.objects[ref] = _managed(found, file.relative_to(self._root))
        else:
            self.objects.pop(ref, None)


def _managed(stored: Stored, file: Path) -> Stored:
    return Stored(
        stored.ref,
        stored.document,
        stored.version,
        created_at=stored.created_at,
        manager=f"file:{file}",
    )


def _read_all(known: Iterable[tuple[Path, _File | None]], forced: bool) -> list[_Read]:
    return list(_read(known, forced))


def _read(known: Iterable[tuple[Path, _File | None]], forced: bool) -> Iterator[_Read]:
    for path, old in known:
        try:
            stamp = stamp_of(path)
            if old is not None and old.stamp == stamp and not forced:
                continue
            data = read_bytes(path)
        except FileNotFoundError:
            yield _Read(path, None, there=False)
        except OSError:  # the provider says so on the log; what it said last stays
            continue
        else:
            yield _Read(path, _file(path, stamp, data, old))


def read_bytes(path: Path) -> bytes:
    """At most one byte more than a file may have: enough to see that it is too large."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _file(path: Path, stamp: Stamp, data: bytes, old: _File | None) -> _File:
    found = hashlib.sha256(data).digest()
    if old is not None and old.digest == found:
        return _File(stamp, found, old.objects, old.parts, old.contents)
    text = read_text(
        data, is_json=path.suffix == ".json", remembered=old.parts if old is not None else None
    )
    objects = dict(_stored(text, stamp, old))
    if old is not None and text.problem:
        objects = {**old.objects, **objects}
    if len(text.parts) < 2:
        return _File(stamp, found, objects, {}, {})
    parts = {each.text: each.contents for each in text.parts if each.contents}
    return _File(stamp, found, objects, parts, {r: f.content for r, f in text.objects.items()})


def _stored(text: FileText, stamp: Stamp, old: _File | None) -> Iterator[tuple[ObjectRef, Stored]]:
    for ref, found in text.objects.items():
        if old is not None and old.contents.get(ref) is found.content:  # remembered
            yield ref, old.objects[ref]
            continue
        document = canonical(found.content)
        annotations = found.content["metadata"].get("annotations") or {}
        at = annotations.get(CREATED_AT)
        yield (
            ref,
            Stored(
                ref,
                document,
                digest(document),
                created_at=at if isinstance(at, str) and _is_time(at) else _time(stamp.modified_ns),
            ),
        )


def _is_time(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _time(nanoseconds: int) -> str:
    return rfc3339(dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC))


def rfc3339(moment: dt.datetime) -> str:
    """In UTC, to the second, as Kubernetes writes ``creationTimestamp``."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
