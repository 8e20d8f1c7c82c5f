"""A real Kubernetes control plane for tests: etcd and kube-apiserver, without containers.

There are no nodes: Pods are documents that nobody runs. Without a controller manager namespaces
stay Terminating, nothing is garbage collected, and no namespace gets a default ServiceAccount;
:meth:`ControlPlane.new_namespace` makes that account, because pods need it.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxgate_operator.kube.types import OUR_TYPES
from support.cluster_files import ClusterFiles, write_kubeconfig
from support.cluster_processes import Child, ClusterError, ClusterProcesses

CRD_FOLDER = Path(__file__).parents[2] / "crds"
KUBECTL_SECONDS = 180.0
"""More than any ``--timeout`` of these tests."""


class ControlPlane:
    """A running API server, as its users see it. Methods block. ``binaries`` are paths by name."""

    def __init__(self, url: str, files: ClusterFiles, binaries: Mapping[str, Path]) -> None:
        self.url = url
        self.files = files
        self.binaries = binaries

    @property
    def ca_file(self) -> Path:
        """What the API server's certificate is to be checked by."""
        return self.files.ca

    @property
    def kubeconfig(self) -> Path:
        """A cluster admin's, by token."""
        return self.files.kubeconfig

    @property
    def admin_token(self) -> str:
        """The cluster admin's token."""
        return self.files.admin_token

    @property
    def audit_log(self) -> Path:
        """Who asked what: one audit.k8s.io/v1 Event a line, as JSON."""
        return self.files.audit_log

    def kubectl(self, *args: str, stdin: str = "", kubeconfig: Path | None = None) -> str:
        """Run kubectl, as the admin by default; raises :class:`ClusterError` with its stderr."""
        done = self.try_kubectl(*args, stdin=stdin, kubeconfig=kubeconfig)
        if done.returncode != 0:
            raise ClusterError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def try_kubectl(
        self, *args: str, stdin: str = "", kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl whatever it says; warnings and errors are in ``stderr``."""
        return subprocess.run(
            [self.binaries["kubectl"], *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=KUBECTL_SECONDS,
            env=self.environment(kubeconfig),
        )

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """The environment for programs that read KUBECONFIG (kubectl, helm, fluxgate)."""
        home = {"HOME": str(self.files.folder), "KUBECONFIG": str(kubeconfig or self.kubeconfig)}
        return {**os.environ, **home}

    def request(
        self, method: str, path: str, body: object = None, content: str = "application/json"
    ) -> dict[str, Any]:
        """One request as the admin, for what kubectl is too slow for; raises on 400 and above."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "authorization": f"Bearer {self.admin_token}",
                "content-type": content,
            },
        )
        tls = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=60, context=tls) as answer:
                document: dict[str, Any] = json.load(answer)
                return document
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            raise ClusterError(f"{method} {path}: {error.code} {said}") from error

    def new_namespace(self, name: str = "") -> str:
        """A namespace with its default ServiceAccount, as a controller manager would make it."""
        name = name or f"test-{secrets.token_hex(4)}"
        meta = {"metadata": {"name": name, "labels": {"fluxgate.example.com/test": "true"}}}
        self.request("POST", "/api/v1/namespaces", meta)
        self.new_service_account(name, "default")
        return name

    def clear_namespace(self, namespace: str) -> None:
        """Delete the objects of ours in a namespace, and ask for the namespace's own end.

        Without a controller manager the namespace stays Terminating.
        """
        for type_ in OUR_TYPES:
            self.request("DELETE", type_.path(namespace))
        self.request("DELETE", f"/api/v1/namespaces/{namespace}")

    def new_service_account(self, namespace: str, name: str) -> None:
        """A ServiceAccount without any right."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        try:
            self.request("POST", path, {"metadata": {"name": name}})
        except ClusterError as error:  # the controller manager may have been faster
            if "AlreadyExists" not in str(error):
                raise

    def token_for(self, namespace: str, service_account: str, *, seconds: int = 3600) -> str:
        """A bound token of a ServiceAccount that exists (TokenRequest); at least 600 seconds."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        review = self.request("POST", path, {"spec": {"expirationSeconds": seconds}})
        token: str = review["status"]["token"]
        return token

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig with a bound token of a ServiceAccount that exists."""
        path = self.files.folder / f"kubeconfig-{namespace}-{service_account}"
        token = self.token_for(namespace, service_account)
        return write_kubeconfig(path, self.url, self.ca_file, {"token": token}, namespace=namespace)

    def audit_events(self, user: str = "") -> list[dict[str, Any]]:
        """What was asked so far, optionally by one user (``system:serviceaccount:ns:name``).

        An event is written right after its answer was sent, so a question of our own is asked and
        waited for first; what was answered just before may still be on its way on a busy machine:
        wait for the last one you expect.
        """
        own = f"/version?audit={secrets.token_hex(8)}"
        self.request("GET", own)
        deadline = time.monotonic() + 60
        while own not in (text := self.audit_log.read_text()):
            if time.monotonic() > deadline:
                raise ClusterError(f"{own} is not in {self.audit_log}")
            time.sleep(0.005)
        lines = (line for line in text.splitlines(keepends=True) if line.endswith("\n"))
        events = [json.loads(line) for line in lines if '"/version?audit=' not in line]
        return [each for each in events if not user or each["user"].get("username") == user]

    def wait_for_right(
        self,
        namespace: str,
        service_account: str,
        verb: str,
        resource: str,
        group: str = "",
        name: str = "",
        *,
        inside: str = "",
    ) -> None:
        """Return when the API server knows a right in a namespace that was just given.

        It learns of Roles and RoleBindings by watches, like everybody else. The right is in the account's
        own namespace, or in ``inside``.
        """
        spec = {
            "user": f"system:serviceaccount:{namespace}:{service_account}",
            "groups": [f"system:serviceaccounts:{namespace}", "system:serviceaccounts"],
            "resourceAttributes": {
                "namespace": inside or namespace,
                "verb": verb,
                "group": group,
                "name": name,
                **dict(zip(("resource", "subresource"), resource.split("/"), strict=False)),
            },
        }
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        deadline = time.monotonic() + 60
        while not self.request("POST", path, {"spec": spec})["status"]["allowed"]:
            if time.monotonic() > deadline:
                raise ClusterError(f"{service_account} may not {verb} {resource}")
            time.sleep(0.02)

    def install_crds(self, folder: Path = CRD_FOLDER) -> None:
        """Apply the CRDs and wait until their kinds are served."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(folder))
        self.kubectl("wait", "--for=condition=Established", "--timeout=120s", "-f", str(folder))
        names = self.kubectl("get", "-o", "name", "-f", str(folder)).split()
        for name in names:
            plural, _, group = name.partition("/")[2].partition(".")
            self._wait_storage(f"/apis/{group}/v1alpha1/{plural}?limit=1")

    def _wait_storage(self, path: str) -> None:
        """An established kind still answers 404 and 429 for a moment (storage initializing)."""
        deadline = time.monotonic() + 120
        while True:
            try:
                self.request("GET", path)
            except ClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


class OwnControlPlane(ControlPlane):
    """One that only this test uses and may break."""

    def __init__(self, processes: ClusterProcesses, binaries: Mapping[str, Path]) -> None:
        super().__init__(processes.url, processes.files, binaries)
        self._processes = processes

    def stop_api_server(self, *, kill: bool = False) -> None:
        """Stop it (SIGKILL with ``kill``); connections are refused then."""
        _running(self._processes.api_server).stop(kill=kill)

    def start_api_server(self) -> None:
        """Start it on the same port and data; returns when ``/readyz`` says ok."""
        self._processes.start_api_server()

    def restart_api_server(self) -> None:
        """Stop and start it. Clients' connections are cut, watch history is lost."""
        self.stop_api_server()
        self.start_api_server()

    def pause(self, program: str = "kube-apiserver") -> None:
        """Freeze ``kube-apiserver`` or ``etcd`` (SIGSTOP): connections stay, nothing answers."""
        self._child(program).send(signal.SIGSTOP)

    def resume(self, program: str = "kube-apiserver") -> None:
        """Let it go on."""
        self._child(program).send(signal.SIGCONT)

    def start_controller_manager(self) -> None:
        """Namespaces get deleted and default ServiceAccounts made, garbage is collected."""
        self._processes.start_controller_manager()

    def _child(self, program: str) -> Child:
        known = {"kube-apiserver": self._processes.api_server, "etcd": self._processes.etcd}
        return _running(known[program])


def _running(child: Child | None) -> Child:
    if child is None:
        raise ClusterError("it was never started")
    return child
