"""The command line against ``fluxgate admin serve`` on a real API server, each a process of its own."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fluxgate_operator.kube.types import OUR_TYPES
from support.admin_serve import AdminServe, admin_serve
from support.certificates import Authority
from support.client import request
from support.cluster import ControlPlane
from support.cluster_processes import ClusterError
from support.commandline import Ran
from support.controller import controller, envoy_of
from support.envoy import eventually
from support.fluxgate_run import COMMAND, environment
from support.ports import free_port
from support.tls import trusting

GROUP = "gateway.fluxgate.io"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNT = "admin"
SECONDS = 120.0
WRITES = ["create", "update", "delete"]
KINDS = tuple(each.plural for each in OUR_TYPES)


@dataclass(slots=True)
class ClusterCli:
    """A controller with an Envoy, the admin API beside it, and ``fluxgate`` with contexts of its own.

    ``namespace`` holds the gateway; in ``poor`` the API may write everything but Plugins;
    ``ending`` is being deleted; ``missing`` was never made.
    """

    plane: ControlPlane
    admin: AdminServe
    home: Path
    port: int
    namespace: str
    poor: str
    ending: str
    missing: str
    envoy: int
    authority: Authority

    def fluxgate(self, *arguments: object, **variables: str) -> Ran:
        """Run the command line; the current context is ``key``, of the first key."""
        home = {"XDG_CONFIG_HOME": str(self.home), "HOME": str(self.home)}
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env={**environment(), **home, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def shown(self, *arguments: object, **variables: str) -> Any:
        """What a command prints as JSON; it must succeed."""
        done = self.fluxgate(*arguments, "-o", "json", **variables)
        assert done.code == 0, done.err
        return json.loads(done.out)

    def path(self, plural: str, name: str = "", namespace: str = "") -> str:
        """Where the API server keeps objects of ours."""
        where = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace or self.namespace}/{plural}"
        return f"{where}/{name}" if name else where

    def stored(self, plural: str, name: str, namespace: str = "") -> dict[str, Any]:
        """An object as the API server has it."""
        return self.plane.request("GET", self.path(plural, name, namespace))

    def patch(self, plural: str, name: str, body: object) -> dict[str, Any]:
        """What ``kubectl patch --type=merge`` does, by the API server itself."""
        content = "application/merge-patch+json"
        path = self.path(plural, name) + "?fieldManager=kubectl-patch"
        return self.plane.request("PATCH", path, body, content)

    def account(self, name: str, namespace: str, resources: tuple[str, ...]) -> str:
        """A ServiceAccount that may read and write so much in another namespace, and its token."""
        self.plane.new_service_account(self.namespace, name)
        place = f"{RBAC}/namespaces/{namespace}"
        rule = _rule(GROUP, list(resources), ["list", *WRITES])
        self.plane.request("POST", f"{place}/roles", {"metadata": {"name": name}, "rules": [rule]})
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        _bind(self.plane, f"{place}/rolebindings", "Role", name, subject)
        self.plane.wait_for_right(
            self.namespace, name, "create", resources[0], GROUP, inside=namespace
        )
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{name}/token"
        spec = {"expirationSeconds": 3600, "audiences": ["fluxgate-admin"]}
        token: str = self.plane.request("POST", path, {"spec": spec})["status"]["token"]
        return token

    def status(self, path: str) -> int:
        """The status of a request through the gateway; 0 without an answer."""
        try:
            return request(self.port, path).status
        except OSError:
            return 0


def gateway(namespace: str, port: int) -> dict[str, Any]:
    """The GatewayConfig ``main``."""
    listeners = [{"name": "http", "port": port, "address": "127.0.0.1"}]
    spec = {"logging": {"accessLog": {"enabled": False}}, "listeners": listeners}
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "GatewayConfig",
        "metadata": {"name": "main", "namespace": namespace},
        "spec": spec,
    }


@contextlib.contextmanager
def cluster_cli(plane: ControlPlane, folder: Path) -> Iterator[ClusterCli]:
    """Start everything; the API has a ServiceAccount of its own, with just the rights it needs."""
    namespace, poor, ending = (plane.new_namespace() for _ in range(3))
    missing = f"{namespace}-missing"
    watched = (namespace, poor, ending, missing)
    port = free_port()
    with contextlib.ExitStack() as stack:
        for each in (namespace, poor):
            stack.callback(plane.clear_namespace, each)
        path = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/gatewayconfigs"
        plane.request("POST", path, gateway(namespace, port))
        stack.enter_context(_account(plane, namespace))
        stack.enter_context(_terminating(plane, ending))
        one = stack.enter_context(controller(plane.kubeconfig, namespace, watch=watched))
        envoy = stack.enter_context(envoy_of(f"{namespace}/main", one))
        more = (part for each in watched[1:] for part in ("--watch-namespace", each))
        variables = {
            "FLUXGATE_ADMIN_DEFAULT_NAMESPACE": namespace,
            "FLUXGATE_ADMIN_LIMIT_READS": "1000000",
            "FLUXGATE_ADMIN_LIMIT_WRITES": "1000000",
        }
        kubeconfig = plane.kubeconfig_for(namespace, ACCOUNT)
        authority = Authority()
        secure = _served(folder, authority)
        admin = stack.enter_context(admin_serve(kubeconfig, namespace, *more, *secure, **variables))
        admin.trust = trusting(authority)
        cli = ClusterCli(
            plane, admin, folder, port, namespace, poor, ending, missing, envoy.pid, authority
        )
        _context(cli)
        eventually(lambda: cli.status("/") == 404, what="the gateway serves")
        yield cli


def _served(folder: Path, authority: Authority) -> tuple[str, ...]:
    """The options for HTTPS; the command line finds in ``ca.pem`` whom to trust."""
    (folder / "ca.pem").write_bytes(authority.pem)
    put_certificate(folder, authority)
    return "--tls-certificate", str(folder / "tls.crt"), "--tls-key", str(folder / "tls.key")


def put_certificate(folder: Path, authority: Authority) -> bytes:
    """Write a new certificate and its key into a folder; returns the certificate."""
    pair = authority.issue("127.0.0.1")
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (folder / name).write_bytes(content)
    return pair.certificate


def _context(cli: ClusterCli) -> None:
    """Files with the first key, and the context ``key`` that names them."""
    (cli.home / "key").write_text(f"{cli.admin.key}\n")
    (cli.home / "secret").write_text(f"{cli.admin.secret}\n")
    done = cli.fluxgate(
        *("context", "set", "key", "--server", cli.admin.ready["admin"]),
        *("--key-file", cli.home / "key", "--secret-file", cli.home / "secret"),
        *("--ca-file", cli.home / "ca.pem", "--namespace", cli.namespace),
    )
    assert done.code == 0, done.err


@contextlib.contextmanager
def _account(plane: ControlPlane, namespace: str) -> Iterator[None]:
    plane.new_service_account(namespace, ACCOUNT)
    name = f"cli-{namespace}"
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": namespace}
    reading = ["get", "list", "watch"]
    rules = [
        _rule(GROUP, ["*"], reading),
        _rule(GROUP, [each for each in KINDS if each != "plugins"], WRITES),
        _rule("", ["secrets", "services"], reading),
        _rule("discovery.k8s.io", ["endpointslices"], reading),
        _rule("networking.k8s.io", ["ingresses", "ingressclasses"], reading),
        _rule("coordination.k8s.io", ["leases"], reading),
        _rule("authentication.k8s.io", ["tokenreviews"], ["create"]),
        _rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    ]
    plane.request("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules})
    _bind(plane, f"{RBAC}/clusterrolebindings", "ClusterRole", name, subject)
    rule = _rule(GROUP, ["plugins"], WRITES)
    place = f"{RBAC}/namespaces/{namespace}"
    plane.request("POST", f"{place}/roles", {"metadata": {"name": name}, "rules": [rule]})
    _bind(plane, f"{place}/rolebindings", "Role", name, subject)
    plane.wait_for_right(namespace, ACCOUNT, "create", "plugins", GROUP)
    plane.wait_for_right(namespace, ACCOUNT, "create", "tokenreviews", "authentication.k8s.io")
    try:
        yield
    finally:
        for each in ("clusterrolebindings", "clusterroles"):
            plane.request("DELETE", f"{RBAC}/{each}/{name}")


def _rule(group: str, resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": [group], "resources": resources, "verbs": verbs}


def _bind(plane: ControlPlane, path: str, kind: str, name: str, subject: Mapping[str, str]) -> None:
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
    body = {"metadata": {"name": name}, "roleRef": role, "subjects": [dict(subject)]}
    plane.request("POST", path, body)


@contextlib.contextmanager
def _terminating(plane: ControlPlane, namespace: str) -> Iterator[None]:
    """A namespace that stays so, whether a controller manager runs or not."""
    path, content = f"/api/v1/namespaces/{namespace}", "application/merge-patch+json"
    plane.request("PATCH", path, {"metadata": {"finalizers": ["example.com/hold"]}}, content)
    plane.request("DELETE", path)
    try:
        yield
    finally:
        with contextlib.suppress(ClusterError):
            plane.request("PATCH", path, {"metadata": {"finalizers": None}}, content)
