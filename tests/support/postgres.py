"""One real PostgreSQL, as a child process: Debian's, on a Unix socket in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from support.cluster_processes import Child
from support.envoy import eventually

_INSTALLED = Path("/usr/lib/postgresql")
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "log_min_messages": "warning",
}


def _program(name: str) -> str:
    """One of Debian's newest PostgreSQL, which keeps its programs out of PATH; else the one on PATH."""
    for folder in sorted(_INSTALLED.glob("*/bin"), reverse=True):
        if (folder / name).is_file():
            return str(folder / name)
    if (found := shutil.which(name)) is not None:
        return found
    pytest.skip(f"{name} is not installed: .ci/install-packages does it")


def _as_user(user: str | None, command: Sequence[str]) -> list[str]:
    """PostgreSQL refuses to run as root, so root runs it as somebody else."""
    if user is None:
        return list(command)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]


class Postgres:
    """A server with as many databases as are asked for. It can be stopped, paused and started again."""

    def __init__(self) -> None:
        initdb, self._server = _program("initdb"), _program("postgres")
        # not below pytest's folder: that one is closed to the user the server runs as
        self.folder = Path(tempfile.mkdtemp(prefix="fluxgate-pg-"))
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._data = self.folder / "data"
        made = [
            initdb,
            "-D",
            str(self._data),
            "-U",
            "admin",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        made += ["--locale=C"]
        subprocess.run(
            _as_user(self._user, made), check=True, capture_output=True, timeout=120, cwd="/"
        )
        self._child: Child | None = None
        self._databases = 0

    def start(self) -> None:
        """Start it on the data it has; it answers on return."""
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        command = [self._server, "-D", str(self._data), "-k", str(self.folder), *settings]
        self._child = Child(_as_user(self._user, command), self.folder / "postgres.log")
        eventually(self._answers, what="PostgreSQL answers")

    def stop(self, *, kill: bool = False) -> None:
        """End it: connections break at once, and what was not committed is gone (SIGKILL with ``kill``)."""
        if self._child is None:
            return
        processes = self._processes()
        if not kill:
            # SIGINT: its "fast shutdown", which does not wait for clients to leave
            self._child.send(signal.SIGINT)
        self._child.stop(kill=kill)
        psutil.wait_procs(processes, timeout=20)
        self._child = None

    def pause(self) -> None:
        """Stand still (SIGSTOP): connections stay open, and nothing answers."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # one that served a client ends by itself
                process.suspend()

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        for process in self._processes():
            with suppress(psutil.NoSuchProcess):  # one that served a client ends by itself
                process.resume()

    def close(self) -> None:
        """End it for good, and remove its data."""
        self.resume()
        self.stop(kill=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self, template: str = "template0") -> str:
        """The URL of a database that nobody else uses, a copy of ``template``."""
        self._databases += 1
        name = f"fluxgate_{self._databases}"
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        return f"postgresql+psycopg://admin@/{name}?host={self.folder}"

    @staticmethod
    def name_of(url: str) -> str:
        """The database of a URL that :meth:`new_database` gave."""
        return url.partition("@/")[2].partition("?")[0]

    def dump(self, url: str) -> str:
        """A database as text, as ``pg_dump`` writes it."""
        done = subprocess.run(
            [_program("pg_dump"), "-h", str(self.folder), "-U", "admin", self.name_of(url)],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def _conninfo(self, database: str) -> str:
        return f"host={self.folder} user=admin dbname={database} connect_timeout=5"

    def _answers(self) -> bool:
        assert self._child is not None
        self._child.check()
        with suppress(psycopg.OperationalError), psycopg.connect(self._conninfo("postgres")):
            return True
        return False

    def _processes(self) -> list[psutil.Process]:
        if self._child is None:
            return []
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._child.pid)
            return [server, *server.children(recursive=True)]
        return []
