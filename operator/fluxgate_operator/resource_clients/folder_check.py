"""What a write below a folder would be told, as far as that can be known without writing.

A disk that is full, and one that fails, only the write finds out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from fluxgate_operator.providers.scan import Stamp
from fluxgate_operator.resource_clients.file_text import FileText
from fluxgate_operator.resource_clients.folder_writer import check_stamp


class FolderCheck:
    """In place of a :class:`FolderWriter`: raises what that would raise, and changes nothing."""

    def __init__(self) -> None:
        self._last: tuple[Path, Stamp, FileText] | None = None

    def text(self, path: Path, stamp: Stamp, read: Callable[[], FileText]) -> FileText:
        """What the file whose stamp is ``stamp`` holds: of many objects in one file it is read for the first alone."""
        last = self._last
        if last is not None and last[:2] == (path, stamp):
            return last[2]
        found = read()
        self._last = (path, stamp, found)
        return found

    def check(self, path: Path, before: Stamp | None) -> None:
        """Whether the file whose stamp is ``before`` could be replaced, or one be made. Raises as a write."""
        target = Path(os.path.realpath(path))
        _check_folder(target.parent)
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "may not be written", str(path))
        check_stamp(target, before)


def _check_folder(folder: Path) -> None:
    """Whether files can be made in a folder, which would be made with its parents."""
    while not os.path.lexists(folder):
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is not a folder", str(folder))
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, "is on a read-only file system", str(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "may not be written", str(folder))
