"""Certificates by path: read when a GatewayConfig names them, and again whenever they change.

A pair that does not fit together, as while its second file is still to be written, leaves the last good one
in force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from fluxgate.resources import ObjectRef, ResourceStore, Secret
from fluxgate.secret import SecretBytes
from fluxgate.translator.certificate_files import PROBLEM, CertificateFiles, files_of
from fluxgate.translator.certificates import problem_of
from fluxgate_operator.watched_files import WatchedFiles, content_of


class CertificateFileReader:
    """Keeps a Secret in ``store`` for every group of files that a GatewayConfig there names.

    ``changed`` is called when :meth:`run` has put news into the store.
    """

    def __init__(self, store: ResourceStore, changed: Callable[[], None]) -> None:
        self._store = store
        self._changed = changed
        self._known: dict[ObjectRef, CertificateFiles] = {}
        self._watched: WatchedFiles | None = None

    def refresh(self) -> bool:
        """Read everything that is named now; returns whether the store changed."""
        wanted = {
            files.ref: files for config in self._store.gateway_configs for files in files_of(config)
        }
        changed = [self._store.remove(ref) for ref in self._known.keys() - wanted.keys()]
        self._known = wanted
        if self._watched is not None:
            paths = [Path(path) for files in wanted.values() for _, path in files.paths]
            self._watched.follow(paths)
        changed += [self._read(files) for files in wanted.values()]
        return any(changed)

    async def run(self) -> None:
        """Follow the files until cancelled."""
        with WatchedFiles() as watched:
            self._watched = watched
            try:
                while True:
                    if self.refresh():
                        self._changed()
                    await watched.changed()
            finally:
                self._watched = None

    def _read(self, files: CertificateFiles) -> bool:
        made = read_files(files)
        before = self._store.get(files.ref)
        problem = problem_of(made)
        if problem and isinstance(before, Secret) and not problem_of(before):
            told = SecretBytes(f"{problem}; the last good files stay in force".encode())
            made = replace(before, data=MappingProxyType({**before.data, PROBLEM: told}))
        return self._store.upsert(made)


def read_files(files: CertificateFiles) -> Secret:
    """The Secret that stands for ``files``; with a problem instead of data when one is unreadable."""
    data = {}
    for key, path in files.paths:
        try:
            data[key] = SecretBytes(content_of(path))
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}"
            data = {PROBLEM: SecretBytes(problem.encode())}
            break
    return Secret(files.ref.namespace, files.ref.name, "Opaque", MappingProxyType(data))
