"""What the tests of a whole controller share: resources to serve, and somebody who asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.client import HeaderPairs, Response, request
from support.cluster import ControlPlane
from support.ports import free_port
from support.upstream import EchoUpstream

from fluxgate.apikeys import digest

API = "apiVersion: gateway.fluxgate.io/v1alpha1\n"
KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"


@dataclass(frozen=True, slots=True)
class Site:
    """A namespace with a gateway on a free port, and an upstream for its routes."""

    plane: ControlPlane
    namespace: str
    port: int
    upstream: EchoUpstream

    @property
    def key(self) -> str:
        """What the gateway's Envoys call themselves (``node.cluster``)."""
        return f"{self.namespace}/main"

    def apply(self, *documents: str) -> None:
        """``kubectl apply`` in the namespace."""
        self.plane.kubectl("apply", "-n", self.namespace, "-f", "-", stdin="---\n".join(documents))

    def delete(self, kind: str, name: str) -> None:
        """``kubectl delete``, without waiting for finalizers."""
        self.plane.kubectl("delete", "-n", self.namespace, kind, name, "--wait=false")

    def condition(self, kind: str, name: str, type_: str = "Programmed") -> str:
        """Status and reason of a condition, as ``kubectl get`` shows them; empty without one."""
        query = (
            f'jsonpath={{range .status.conditions[?(@.type=="{type_}")]}}{{.status}} {{.reason}}'
        )
        return self.plane.kubectl(
            "get", "-n", self.namespace, kind, name, "-o", query + "{end}"
        ).strip()

    def get(self, path: str, headers: HeaderPairs = ()) -> Response:
        """One request through the gateway."""
        return request(self.port, path, headers=headers)

    def status(self, path: str, headers: HeaderPairs = ()) -> int:
        """The status of the answer; 0 without one."""
        try:
            return self.get(path, headers).status
        except OSError:
            return 0

    @property
    def gateway(self) -> str:
        """The GatewayConfig ``main``."""
        return (
            API + "kind: GatewayConfig\nmetadata: {name: main}\nspec:\n"
            "  logging: {accessLog: {enabled: false}}\n"
            f"  listeners: [{{name: http, port: {self.port}, address: 127.0.0.1}}]\n"
        )

    def backend(self, name: str) -> str:
        """A Backend for the upstream."""
        return (
            API + f"kind: Backend\nmetadata: {{name: {name}}}\n"
            f'spec: {{url: "http://127.0.0.1:{self.upstream.port}"}}\n'
        )

    @staticmethod
    def route(name: str, path: str, backend: str, auth: str = "None") -> str:
        """A Route of a prefix to a Backend."""
        return (
            API + f"kind: Route\nmetadata: {{name: {name}}}\nspec:\n"
            f"  matches: [{{path: {{value: {path}}}}}]\n  auth: {{mode: {auth}}}\n"
            f"  backends: [{{kind: Backend, name: {backend}}}]\n"
        )

    @staticmethod
    def api_key(name: str) -> str:
        """An ApiKey for :data:`KEY`."""
        return (
            API + f"kind: ApiKey\nmetadata: {{name: {name}}}\n"
            f"spec: {{hash: {digest(KEY)}, prefix: flc_service_, lastFour: '{KEY[-4:]}'}}\n"
        )


@pytest.fixture
def site(control_plane: ControlPlane, namespace: str) -> Iterator[Site]:
    """A site on the shared API server; nothing is applied yet."""
    with EchoUpstream("echo") as upstream:
        yield Site(control_plane, namespace, free_port(), upstream)
