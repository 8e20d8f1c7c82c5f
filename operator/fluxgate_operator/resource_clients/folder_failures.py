"""What a disk says, in the port's words: the cause for the caller, the path for the server's log.

Callers of the admin API work on objects, and are not to learn where the server keeps its files.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from structlog.typing import FilteringBoundLogger

from fluxgate.errors import ResourceStoreUnavailableError
from fluxgate_operator.documents import DocumentError
from fluxgate_operator.resource_clients.folder_writer import LockedError, UnsureError

_SERVER = "the configuration folder of the server"
_CAUSES = {
    errno.EROFS: f"{_SERVER} is on a file system that is read-only; mount it for writing",
    errno.ENOSPC: f"the disk of {_SERVER} is full; free space there",
    errno.EDQUOT: f"the disk quota of {_SERVER} is used up; free space there",
    errno.EACCES: f"the server may not do that in {_SERVER}; give it the permission",
    errno.EPERM: f"the server may not do that in {_SERVER}; give it the permission",
    errno.ENOENT: f"{_SERVER} is not there; the server's log names it",
    errno.EEXIST: f"a file stands where {_SERVER} needs a folder; the server's log names it",
    errno.ENOTDIR: f"a file stands where {_SERVER} needs a folder; the server's log names it",
    errno.EMFILE: "the server has too many files open; raise its limit",
    errno.ENFILE: "the server's machine has too many files open; raise its limit",
    errno.EIO: f"the disk of {_SERVER} failed to read or write; look at the disk",
}


@contextlib.contextmanager
def told(subject: str, log: FilteringBoundLogger) -> Iterator[None]:
    """Turn what a disk says into the port's error."""
    try:
        yield
    except (OSError, DocumentError) as error:
        unwritten = isinstance(error, LockedError)
        raise unavailable(subject, error, log, unwritten=unwritten) from error


def unavailable(
    subject: str, error: OSError | DocumentError, log: FilteringBoundLogger, *, unwritten: bool
) -> ResourceStoreUnavailableError:
    """The error that a caller may see; all that ``error`` says goes to the log."""
    log.warning(
        "the folder cannot be read or written",
        subject=subject,
        error=str(error),
        path=str(getattr(error, "filename", None) or ""),
    )
    return ResourceStoreUnavailableError(subject, _cause(error), unwritten=unwritten)


def _cause(error: OSError | DocumentError) -> str:
    if isinstance(error, (DocumentError, LockedError)):
        return str(error)  # ours, and without a path
    unsure = "it is made, and may be lost with the machine's power: "
    said = _CAUSES.get(error.errno or 0) or f"{_SERVER} failed: {error.strerror or 'input/output'}"
    return f"{unsure if isinstance(error, UnsureError) else ''}{said}"
