"""Files that others replace, in whatever way: told by inotify, without polling, and read without waiting.

certbot swaps the last link of a path, a mounted Secret one in the middle (the kubelet's ``..data``), an editor
writes the file itself. So the folders of the files are watched, and those of every symbolic link on the way.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from asyncinotify import Inotify, Mask, Watch

_MAX_BYTES = 1024 * 1024
_MAX_LINKS = 40
_MASK = (
    Mask.CLOSE_WRITE
    | Mask.MOVED_TO
    | Mask.MOVED_FROM
    | Mask.CREATE
    | Mask.DELETE
    | Mask.ATTRIB
    | Mask.ONLYDIR
)


class WatchedFiles:
    """Tells that something happened that may make a path another file. Use as a context manager.

    After each change :meth:`follow` has to be called again, before the files are read: what the paths lead
    through may be other folders now, and what happens meanwhile happens there. Raises ``OSError`` when there
    is no inotify to be had.
    """

    def __init__(self) -> None:
        self._inotify = Inotify()
        self._watches: dict[Path, Watch] = {}

    def __enter__(self) -> Self:
        self._inotify.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inotify.__exit__(kind, error, trace)
        self._watches.clear()

    def follow(self, paths: Iterable[Path]) -> None:
        """Watch the folders that matter now."""
        wanted = {folder for path in paths for folder in _folders(path)}
        for gone in self._watches.keys() - wanted:
            self._drop(gone)
        for folder in wanted - self._watches.keys():
            try:
                self._watches[folder] = self._inotify.add_watch(folder, _MASK)
            except OSError:
                continue  # it vanished; the event of the folder above brings us back

    async def changed(self) -> None:
        """Return when something happened."""
        await self._inotify.get()

    def _drop(self, folder: Path) -> None:
        watch = self._watches.pop(folder)
        try:
            self._inotify.rm_watch(watch)
        except OSError:
            return  # the kernel dropped it with its folder


def content_of(path: str | Path) -> bytes:
    """At most 1 MiB of a regular file alone: a pipe, a terminal or a device would keep everybody waiting."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(_MAX_BYTES)
    finally:
        os.close(descriptor)


def _folders(path: Path) -> Iterator[Path]:
    """Where something may happen that makes ``path`` another file."""
    waiting, seen = [path.absolute()], 0
    while waiting and seen < _MAX_LINKS:
        seen += 1
        path = waiting.pop()
        yield _existing(path.parent)
        for each in (path, *path.parents):
            if each.is_symlink():
                yield each.parent
                waiting.append(each.parent / each.readlink() / path.relative_to(each))


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())
