"""The state folder: one instance at a time, and clear words when it cannot be written."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from fluxgate_operator.errors import StateDirError


class StateDir:
    """Creates, checks and locks the folder; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateDirError(
                f"the state folder {self.path} cannot be used: {error.strerror}; "
                "name a folder that can be written"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._lock, 32, 0).decode("ascii", "replace").strip()
            os.close(self._lock)
            self._lock = None
            who = f" (process {holder})" if holder else ""
            raise StateDirError(
                f"another instance{who} runs with the state folder {self.path}; "
                "stop it, or give this one a folder of its own"
            ) from error
        try:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)
        except OSError:
            return self  # the lock holds without its note; what needs the disk will say so itself
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, name: str, text: str) -> Path:
        """Replace a file atomically. Raises :class:`StateDirError` when the disk refuses."""
        path, draft = self.path / name, self.path / f".{name}.new"
        try:
            with draft.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise StateDirError(
                f"{path} cannot be written: {error.strerror}; free space on its disk, "
                "or name another state folder"
            ) from error
        return path
