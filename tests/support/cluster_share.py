"""One control plane for all workers of a test run.

A keeper process owns etcd and the API server. Every worker holds a shared lock on one file for as
long as it lives; when the last lock is gone, by whatever end, the keeper stops everything. The
kernel drops the locks of a worker that crashed, so nothing is counted and nothing is left behind.

Runs as ``python -m support.cluster_share <folder>``.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from support.cluster import ControlPlane, OwnControlPlane
from support.cluster_files import ClusterFiles
from support.cluster_processes import ClusterError, ClusterProcesses

_START_TIMEOUT = 180.0
_POLL = 0.2


@contextmanager
def shared_control_plane(folder: Path, binaries: Mapping[str, Path]) -> Iterator[ControlPlane]:
    """The control plane that every process with this ``folder`` shares, CRDs installed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "users.lock").open("a") as users:
        with (folder / "start.lock").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits while a keeper is stopping
            if not _state(folder).exists():
                _start_keeper(folder, binaries)
        state = json.loads(_state(folder).read_text())
        yield ControlPlane(state["url"], ClusterFiles(Path(state["folder"])), binaries)


def want_controller_manager(folder: Path) -> None:
    """Ask the keeper for a controller manager; it comes within a second or two."""
    (folder / "want-controller-manager").touch()


def _state(folder: Path) -> Path:
    return folder / "state.json"


def _start_keeper(folder: Path, binaries: Mapping[str, Path]) -> None:
    (folder / "binaries.json").write_text(json.dumps({k: str(v) for k, v in binaries.items()}))
    log = folder / "keeper.log"
    with log.open("ab") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "support.cluster_share", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(__file__).parents[1],
            start_new_session=True,  # Ctrl-C is for the tests; the keeper ends after them
        )
    deadline = time.monotonic() + _START_TIMEOUT
    while not _state(folder).exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            raise ClusterError(f"the control plane did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.05)
    keeper.returncode = 0  # it outlives us on purpose: no ResourceWarning


def keep(folder: Path) -> None:
    """Start the control plane, and stop it when nobody uses it any more."""
    binaries = {k: Path(v) for k, v in json.loads((folder / "binaries.json").read_text()).items()}
    own = _free_name(folder)
    processes = ClusterProcesses(binaries, own)
    try:
        processes.start()
        OwnControlPlane(processes, binaries).install_crds()
        ready = own / "state.json"
        ready.write_text(json.dumps({"url": processes.url, "folder": str(own)}))
        ready.rename(_state(folder))
        with (folder / "users.lock").open("a") as users:
            while not _is_last(users):
                _serve_wishes(folder, processes)
                time.sleep(_POLL)
            _state(folder).unlink()
            processes.stop()
    finally:
        processes.stop()


def _serve_wishes(folder: Path, processes: ClusterProcesses) -> None:
    if processes.controller_manager is None and (folder / "want-controller-manager").exists():
        processes.start_controller_manager()


def _free_name(folder: Path) -> Path:
    count = len(list(folder.glob("control-plane-*")))
    return folder / f"control-plane-{count}"


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
