"""etcd, kube-apiserver and kube-controller-manager as child processes on loopback."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.cluster_files import ClusterFiles, write_files

START_TIMEOUT = 120.0
STOP_TIMEOUT = 20.0
LOOPBACK = "127.0.0.1"
CONTROLLERS = (
    "namespace-controller",
    "serviceaccount-controller",
    "garbage-collector-controller",
    "root-ca-certificate-publisher-controller",
)


class ClusterError(RuntimeError):
    """A program of the control plane did not start; the message holds the end of its log."""


class ReservedPort:
    """A loopback port that stays ours while nobody listens on it.

    The socket is bound but never listens, so connections are refused until a program that shares
    ports (SO_REUSEPORT) listens there too.
    """

    def __init__(self, address: str = LOOPBACK) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind((address, 0))
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()


class Child:
    """A program that ends when we do, with its output in a file."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(each) for each in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
            )
        self.pid = self._process.pid
        # Should we die without a word, the pipe ends and takes the program along.
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", f"read line; kill -9 {self.pid}"], stdin=subprocess.PIPE
        )

    def check(self) -> None:
        """Raise :class:`ClusterError` when the program has ended."""
        if (code := self._process.poll()) is not None:
            tail = self.log.read_text(errors="replace")[-3000:]
            raise ClusterError(f"{self._process.args} ended with {code}:\n{tail}")

    def stop(self, *, kill: bool = False) -> None:
        """End the program (SIGKILL with ``kill``) and wait until it is gone."""
        if self._process.poll() is None:
            self.send(signal.SIGKILL if kill else signal.SIGTERM)
            if not kill:
                self.send(signal.SIGCONT)
        self._watchdog.kill()
        self._watchdog.communicate()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal (SIGSTOP and SIGCONT pause and resume)."""
        self._process.send_signal(number)


class ClusterProcesses:
    """One etcd, one API server and perhaps a controller manager, over ``folder``.

    The API server listens on ``address``; ``flags`` are added to its own, ``controller_flags`` to the
    controller manager's.
    """

    def __init__(
        self,
        binaries: Mapping[str, Path],
        folder: Path,
        *,
        address: str = LOOPBACK,
        flags: Sequence[str] = (),
        controllers: Sequence[str] = CONTROLLERS,
        controller_flags: Sequence[str] = (),
    ) -> None:
        self._binaries = binaries
        self._address, self._flags, self._controllers = address, flags, controllers
        self._controller_flags = controller_flags
        self._port = ReservedPort(address)
        self.url = f"https://{address}:{self._port.number}"
        self.files: ClusterFiles = write_files(folder, self.url, address)
        self._folder = folder
        self._sockets = Path(tempfile.mkdtemp(prefix="fluxgate-etcd-"))
        self.etcd: Child | None = None
        self.api_server: Child | None = None
        self.controller_manager: Child | None = None

    def start(self) -> None:
        """Start etcd and the API server, and wait until it is ready."""
        self.start_etcd()
        self.start_api_server()

    def stop(self) -> None:
        """Stop everything and give the port back; the folder stays."""
        for child in (self.controller_manager, self.api_server, self.etcd):
            if child is not None:
                child.stop(kill=True)
        self._port.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def start_etcd(self) -> None:
        """Start etcd on the data it has; on Unix sockets, which nobody can take from us."""
        client = f"unix://{self._sockets}/client"
        peer = f"unix://{self._sockets}/peer"
        self.etcd = Child(
            [
                self._binaries["etcd"],
                f"--data-dir={self._folder / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls={client}",
                f"--advertise-client-urls={client}",
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
                "--log-level=warn",
            ],
            self._folder / "etcd.log",
        )

    def start_api_server(self) -> None:
        """Start the API server on the port it always had, and wait until it is ready."""
        self.api_server = Child(
            [self._binaries["kube-apiserver"], *self._api_server_flags()],
            self._folder / "kube-apiserver.log",
        )
        self.wait_ready()

    def start_controller_manager(self) -> None:
        """Start the controllers that clean up: namespaces, garbage, and the default accounts."""
        self.controller_manager = Child(
            [
                self._binaries["kube-controller-manager"],
                f"--kubeconfig={self.files.kubeconfig}",
                f"--controllers={','.join(self._controllers)}",
                f"--root-ca-file={self.files.ca}",
                f"--service-account-private-key-file={self._folder / 'sa.key'}",
                "--leader-elect=false",
                "--secure-port=0",
                *self._controller_flags,
            ],
            self._folder / "kube-controller-manager.log",
        )

    def wait_ready(self) -> None:
        """Wait until ``/readyz`` answers 200."""
        tls = ssl.create_default_context(cafile=str(self.files.ca))
        deadline = time.monotonic() + START_TIMEOUT
        while not self._is_ready(tls):
            for child in (self.etcd, self.api_server):
                if child is not None:
                    child.check()
            if time.monotonic() > deadline:
                raise ClusterError(f"the API server is not ready after {START_TIMEOUT} s")
            time.sleep(0.05)

    def _is_ready(self, tls: ssl.SSLContext) -> bool:
        headers = {"authorization": f"Bearer {self.files.admin_token}"}
        request = urllib.request.Request(f"{self.url}/readyz", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=tls) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _api_server_flags(self) -> list[str]:
        folder = self._folder
        return [
            f"--etcd-servers=unix://{self._sockets}/client",
            f"--bind-address={self._address}",
            f"--advertise-address={self._address}",
            f"--secure-port={self._port.number}",
            "--permit-port-sharing",
            "--endpoint-reconciler-type=none",
            f"--tls-cert-file={folder / 'server.crt'}",
            f"--tls-private-key-file={folder / 'server.key'}",
            f"--client-ca-file={self.files.ca}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--allow-privileged",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={folder / 'sa.pub'}",
            f"--service-account-signing-key-file={folder / 'sa.key'}",
            "--delete-collection-workers=16",
            f"--audit-policy-file={folder / 'audit-policy.json'}",
            f"--audit-log-path={self.files.audit_log}",
            f"--cert-dir={folder / 'generated'}",
            "--shutdown-delay-duration=0s",
            *self._flags,
        ]
