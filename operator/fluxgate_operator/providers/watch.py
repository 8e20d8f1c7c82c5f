"""Says which paths below a folder may have changed, as soon as the kernel knows.

inotify by asyncinotify: no thread, no polling, less than a millisecond from
close-after-write to callback (docs/decisions/0006). Folders are watched, never files. Events only say
"look again at this path": what really happened is read from the disk.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncinotify import Event, Inotify, Mask, Watch

from fluxgate_operator.providers.scan import is_hidden, is_resource_file

_MASK = (
    Mask.CLOSE_WRITE
    | Mask.MOVED_TO
    | Mask.MOVED_FROM
    | Mask.DELETE
    | Mask.CREATE
    | Mask.ATTRIB
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
    | Mask.ONLYDIR
)
_GRACE_SECONDS = 0.5
"""How long a file that appeared may stay unclosed before it is looked at anyway."""
_DATA = "..data"
"""The link a kubelet swaps when a mounted ConfigMap or Secret changes."""


class WatchLimitError(OSError):
    """The kernel's inotify limits do not suffice for the folder."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What to look at again: these files, these folders that are new, or with ``everything`` all there is."""

    files: frozenset[Path]
    everything: bool
    folders: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class _Watched:
    watch: Watch
    identity: tuple[int, int]


class FolderWatch:
    """Watches a set of folders; use as a context manager inside a running event loop."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._inotify = Inotify(sync_timeout=0)
        self._ours: dict[Path, _Watched] = {}
        self._foreign: dict[Path, _Watched] = {}
        self._linked: frozenset[Path] = frozenset()
        self._unclosed: dict[Path, float] = {}
        self._parent: Watch | None = None
        self._stirred = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inotify.close()

    def follow(self, folders: Iterable[Path], linked: Iterable[Path]) -> bool:
        """Watch these folders, and what links lead to; returns whether any is newly watched.

        Whoever follows new folders must scan once more: files may have appeared in
        them before the watch was in place. Raises :class:`WatchLimitError`.
        """
        wanted = set(folders)
        self._linked = frozenset(linked)
        foreign = {path.parent for path in self._linked} - wanted
        self._watch_parent()
        added = self._settle(self._ours, wanted)
        return self._settle(self._foreign, foreign) or added

    def extend(self, folders: Iterable[Path]) -> bool:
        """Watch these, too; returns whether any is newly watched. Scan once more then, as for :meth:`follow`.

        Raises :class:`WatchLimitError`.
        """
        return self._join(self._ours, {path: _identity(path) for path in sorted(folders)})

    async def changes(self) -> AsyncIterator[Changes]:
        """Batches of what changed; everything the kernel already knows comes in one batch.

        After :meth:`nudge` the next batch comes at once, and may be empty.
        """
        while True:
            await self._stir()
            yield self.known()

    def known(self) -> Changes:
        """What the kernel knows at this moment and nobody has asked for; waits for nothing."""
        found = self._sum_up(list(self._pending()))
        return replace(found, files=found.files | self._overdue())

    def nudge(self) -> None:
        """Let :meth:`changes` go through its next round without waiting for an event."""
        self._stirred.set()

    async def _stir(self) -> None:
        """Return when the kernel has events, after a nudge, or when an unclosed file is overdue."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._inotify.fd, self._stirred.set)
        try:
            async with asyncio.timeout_at(min(self._unclosed.values(), default=None)):
                await self._stirred.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(self._inotify.fd)
            self._stirred.clear()

    def _overdue(self) -> frozenset[Path]:
        """Files that appeared a while ago and were never closed.

        A hard link whose first name is gone looks like a file that is being written, but
        nobody will ever close it.
        """
        now = asyncio.get_running_loop().time()
        overdue = frozenset(path for path, at in self._unclosed.items() if at <= now)
        for path in overdue:
            del self._unclosed[path]
        return overdue

    def _pending(self) -> Iterator[Event]:
        """The kernel's queue, to its end."""
        while (event := self._inotify.sync_get()) is not None:
            yield event

    def _sum_up(self, events: list[Event]) -> Changes:
        files: set[Path] = set()
        folders: set[Path] = set()
        everything = False
        for event in events:
            watch = event.watch
            if watch is None or Mask.Q_OVERFLOW in event.mask:
                everything = True
            elif (path := self._file_of(watch, event)) is not None:
                files.add(path)
            elif (path := self._new_folder_of(watch, event)) is not None:
                folders.add(path)
            else:
                everything |= self._concerns_all(watch, event)
        return Changes(frozenset(files), everything, frozenset(folders))

    def _new_folder_of(self, watch: Watch, event: Event) -> Path | None:
        """The folder an event is about, when it came to a place where none was.

        Where links are, what appears in one place may be seen in another.
        """
        if event.name is None or Mask.ISDIR not in event.mask or not self._is_ours(watch):
            return None
        came = event.mask & (Mask.CREATE | Mask.MOVED_TO)
        if not came or self._linked or is_hidden(event.name.name):
            return None
        path = watch.path / event.name
        known = self._ours.get(path)
        return path if known is None or known.identity == _identity(path) else None

    def _file_of(self, watch: Watch, event: Event) -> Path | None:
        """The resource file an event is about, when it is about one file of ours."""
        if event.name is None or Mask.ISDIR in event.mask or not self._is_ours(watch):
            return None
        if not is_resource_file(event.name.name):
            return None
        path = watch.path / event.name
        if Mask.CREATE in event.mask and not _complete_at_birth(path):
            # its writer has not closed it yet; CLOSE_WRITE will follow
            self._unclosed[path] = asyncio.get_running_loop().time() + _GRACE_SECONDS
            return None
        self._unclosed.pop(path, None)
        return path

    def _is_ours(self, watch: Watch) -> bool:
        watched = self._ours.get(watch.path)
        return watched is not None and watched.watch is watch

    def _concerns_all(self, watch: Watch, event: Event) -> bool:
        ours = self._is_ours(watch)
        if event.name is None:
            if Mask.IGNORED in event.mask and ours:
                del self._ours[watch.path]
            return ours and bool(event.mask & (Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.IGNORED))
        path = watch.path / event.name
        if watch is self._parent and path.name == self._root.name:
            return True
        if path in self._linked:
            return True
        if not ours:
            return False
        if path.name == _DATA:
            return True
        if is_hidden(path.name):
            return False
        return Mask.ISDIR in event.mask or path in self._ours or path.is_dir()

    def _watch_parent(self) -> None:
        """The root itself may be replaced (a link that is swapped, a folder moved in)."""
        if self._parent is None:
            self._parent = self._add(self._root.absolute().parent)

    def _settle(self, table: dict[Path, _Watched], wanted: set[Path]) -> bool:
        identities = {path: _identity(path) for path in sorted(wanted)}
        for path in [path for path, each in table.items() if identities.get(path) != each.identity]:
            self._drop(table.pop(path).watch)
        return self._join(table, identities)

    def _join(
        self, table: dict[Path, _Watched], identities: Mapping[Path, tuple[int, int] | None]
    ) -> bool:
        added = False
        for path, identity in identities.items():
            if identity is None or path in table:
                continue  # without identity it vanished; its parent's event brings a new scan
            watch = self._add(path)
            if watch is not None:
                table[path] = _Watched(watch, identity)
                added = True
        return added

    def _drop(self, watch: Watch) -> None:
        if watch is self._parent:
            return
        try:
            self._inotify.rm_watch(watch)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: the kernel dropped it with its folder
                raise

    def _add(self, path: Path) -> Watch | None:
        try:
            return self._inotify.add_watch(path, _MASK)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EMFILE):
                raise _limit(path, error) from error
            return None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _complete_at_birth(path: Path) -> bool:
    """Links are complete when they appear: no write and no close will follow."""
    try:
        return path.is_symlink() or path.stat().st_nlink > 1
    except OSError:
        return True


def _limit(path: Path, error: OSError) -> WatchLimitError:
    return WatchLimitError(
        error.errno,
        f"cannot watch {path}: the kernel's inotify limit is reached; "
        "raise fs.inotify.max_user_watches and fs.inotify.max_user_instances",
    )
