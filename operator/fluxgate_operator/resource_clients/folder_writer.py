"""Writes files of a folder whole or not at all, one writer at a time.

A draft beside the file is filled, flushed to the disk and renamed, so no reader sees half a file and no crash
leaves one. Writers of ours take turns by a lock on the folder itself (``flock``), which leaves no file behind
and ends with its process. Editors know nothing of it: a file that somebody else changed since it was read is
not replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from fluxgate_operator.providers.scan import Stamp, stamp_of

_DRAFT = ".fluxgate-"
"""Hidden, so that nobody reads drafts."""
_POLL_SECONDS = 0.01


class ChangedMeanwhileError(Exception):
    """Somebody else wrote the file after it was read."""


class LockedError(OSError):
    """Another writer holds the folder for too long."""


class UnsureError(OSError):
    """The change is made, and the disk does not say that it stays."""


class FolderWriter:
    """Writes below one folder. Every method but :meth:`turn` blocks, for some milliseconds."""

    def __init__(self, root: Path, lock_seconds: float) -> None:
        self._root = root
        self._seconds = lock_seconds
        self._swept: set[Path] = set()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Nobody else of us writes below the folder. Raises ``OSError``, :class:`LockedError`."""
        folder = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            await self._lock(folder)
            yield
        finally:
            os.close(folder)

    async def _lock(self, folder: int) -> None:
        deadline = asyncio.get_running_loop().time() + self._seconds
        while True:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    raise LockedError(
                        f"another writer has held the folder for {self._seconds:g} s; try again"
                    ) from None
                await asyncio.sleep(_POLL_SECONDS)
            else:
                return

    def write(self, path: Path, data: bytes, before: Stamp | None) -> None:
        """Replace the file whose stamp is ``before``, or make one that is not there.

        A link stays, and what it leads to is replaced. Mode and owner stay as far as we may. Raises
        ``OSError``, :class:`ChangedMeanwhileError`; then nothing was written, but after :class:`UnsureError`.
        """
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        self._sweep(target.parent)
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "may not be written", str(path))
        draft = target.parent / f"{_DRAFT}{secrets.token_hex(8)}.new"
        try:
            _fill(draft, data, target if before is not None else None)
            check_stamp(target, before)
            draft.replace(target)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        with _made():
            _flush_folder(target.parent)

    def remove(self, path: Path, before: Stamp) -> None:
        """Delete the file whose stamp is ``before``. Raises as :meth:`write`."""
        target = Path(os.path.realpath(path))
        check_stamp(target, before)
        target.unlink()
        with _made():
            if path.is_symlink():
                path.unlink()
            _flush_folder(path.parent)

    def _sweep(self, folder: Path) -> None:
        """Remove drafts of writers that were killed: whoever is alive and writes holds the lock."""
        if folder not in self._swept:
            self._swept.add(folder)
            for draft in folder.glob(f"{_DRAFT}*.new"):
                draft.unlink(missing_ok=True)


@contextlib.contextmanager
def _made() -> Iterator[None]:
    """What fails after the change does not undo it."""
    try:
        yield
    except OSError as error:
        raise UnsureError(error.errno, error.strerror, error.filename) from error


def check_stamp(target: Path, before: Stamp | None) -> None:
    """Whether the file is the one whose stamp is ``before``, or none. Raises :class:`ChangedMeanwhileError`."""
    try:
        now = stamp_of(target)
    except FileNotFoundError:
        now = None
    if now != before:
        raise ChangedMeanwhileError(str(target))


def _fill(draft: Path, data: bytes, like: Path | None) -> None:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        if like is not None:
            old = like.stat()
            with contextlib.suppress(PermissionError):  # only root may give files away
                os.fchown(descriptor, old.st_uid, old.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _flush_folder(folder: Path) -> None:
    """A new name is on the disk only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
