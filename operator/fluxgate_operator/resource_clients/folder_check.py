"""What a write below a folder would be told, as far as that can be known without writing.

A disk that is full, and one that fails, only the write finds out.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fluxgate_operator.providers.scan import Stamp
from fluxgate_operator.resource_clients.folder_writer import check_stamp


class FolderCheck:
    """In place of a :class:`FolderWriter`: raises what that would raise, and changes nothing."""

    def write(self, path: Path, data: bytes, before: Stamp | None) -> None:
        """As :meth:`FolderWriter.write`."""
        del data
        target = Path(os.path.realpath(path))
        _check_folder(target.parent)
        if before is not None and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "may not be written", str(path))
        check_stamp(target, before)

    def remove(self, path: Path, before: Stamp) -> None:
        """As :meth:`FolderWriter.remove`."""
        target = Path(os.path.realpath(path))
        check_stamp(target, before)
        _check_folder(target.parent)


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
