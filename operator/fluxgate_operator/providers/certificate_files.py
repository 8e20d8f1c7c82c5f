"""Certificates by path: read when a GatewayConfig names them, and again whenever they change.

The folders of the files are watched (inotify, no polling), and those of every symbolic link on
the way: certbot swaps the last link, a mounted Secret one in the middle. A pair that does not fit
together, as while its second file is still to be written, leaves the last good one in force.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from asyncinotify import Inotify, Mask, Watch

from fluxgate.resources import ObjectRef, ResourceStore, Secret
from fluxgate.secret import SecretBytes
from fluxgate.translator.certificate_files import PROBLEM, CertificateFiles, files_of
from fluxgate.translator.certificates import problem_of

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


class CertificateFileReader:
    """Keeps a Secret in ``store`` for every group of files that a GatewayConfig there names.

    ``changed`` is called when :meth:`run` has put news into the store.
    """

    def __init__(self, store: ResourceStore, changed: Callable[[], None]) -> None:
        self._store = store
        self._changed = changed
        self._known: dict[ObjectRef, CertificateFiles] = {}
        self._inotify: Inotify | None = None
        self._watches: dict[Path, Watch] = {}

    def refresh(self) -> bool:
        """Read everything that is named now; returns whether the store changed."""
        wanted = {
            files.ref: files for config in self._store.gateway_configs for files in files_of(config)
        }
        changed = [self._store.remove(ref) for ref in self._known.keys() - wanted.keys()]
        self._known = wanted
        self._follow()
        changed += [self._read(files) for files in wanted.values()]
        return any(changed)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        with Inotify() as inotify:
            self._inotify = inotify
            try:
                if self.refresh():
                    self._changed()
                async for _ in inotify:
                    if self.refresh():
                        self._changed()
            finally:
                self._inotify = None
                self._watches.clear()

    def _read(self, files: CertificateFiles) -> bool:
        made = read_files(files)
        before = self._store.get(files.ref)
        problem = problem_of(made)
        if problem and isinstance(before, Secret) and not problem_of(before):
            told = SecretBytes(f"{problem}; the last good files stay in force".encode())
            made = replace(before, data=MappingProxyType({**before.data, PROBLEM: told}))
        return self._store.upsert(made)

    def _follow(self) -> None:
        """Watch the folders that matter now; what changes meanwhile is read after this."""
        if self._inotify is None:
            return
        paths = [Path(path) for files in self._known.values() for _, path in files.paths]
        wanted = {folder for path in paths for folder in _folders(path)}
        for gone in self._watches.keys() - wanted:
            self._drop(gone)
        for folder in wanted - self._watches.keys():
            try:
                self._watches[folder] = self._inotify.add_watch(folder, _MASK)
            except OSError:
                continue  # it vanished; the event of the folder above brings us back

    def _drop(self, folder: Path) -> None:
        watch = self._watches.pop(folder)
        if self._inotify is not None:
            try:
                self._inotify.rm_watch(watch)
            except OSError:
                return  # the kernel dropped it with its folder


def read_files(files: CertificateFiles) -> Secret:
    """The Secret that stands for ``files``; with a problem instead of data when one is unreadable."""
    data = {}
    for key, path in files.paths:
        try:
            data[key] = SecretBytes(_content(path))
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}"
            data = {PROBLEM: SecretBytes(problem.encode())}
            break
    return Secret(files.ref.namespace, files.ref.name, "Opaque", MappingProxyType(data))


def _content(path: str) -> bytes:
    """Of a regular file alone: a pipe, a terminal or a device would keep everybody waiting."""
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
