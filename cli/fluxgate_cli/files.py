"""Writing files so that no reader, and no crash, ever meets half of one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, text: str, *, mode: int = 0o644, replace: bool = True) -> None:
    """Write ``text`` beside ``path``, flush it to the disk, and give it its name.

    Readers see the old file or the new one. Without ``replace`` an existing file stays
    and ``FileExistsError`` is raised. Raises ``OSError`` when the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden and without .yaml at its end: a directory provider never reads it.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    if not replace:
        # Whoever watches the folder may look at the new name only now, when nothing tells it
        # from a file that is still being written. This says that it is complete.
        os.utime(path)
