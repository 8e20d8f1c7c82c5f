"""The admin API of a release as its users have it: a first key made once, signed writes, tokens of pods."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import httpx

from e2e.cluster import Cluster
from e2e.manifests import text
from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.signature import SignedContent, sign

KINDS = ("ApiKey", "Backend", "GatewayConfig", "Plugin", "Route", "Tenant", "Upstream")
SPECS: Mapping[str, Mapping[str, Any]] = {
    "ApiKey": {"hash": "0" * 64, "prefix": "flx_live_", "lastFour": "0000"},
    "Backend": {"url": "http://shop.team.svc:8000"},
    "GatewayConfig": {
        "listeners": [{"name": "http", "port": 8080}],
        # Routes of the release count by Redis, on this gateway, too
        "rateLimitService": {"url": "http://192.0.2.1:8081"},
    },
    "Plugin": {"type": "cors", "config": {"allowOrigins": ["https://example.com"]}},
    "Route": {
        "matches": [{"path": {"value": "/made"}}],
        "backends": [{"url": "http://shop.team.svc:8000"}],
    },
    "Tenant": {},
    "Upstream": {"targets": [{"host": "192.0.2.1", "port": 80}]},
}
"""A spec of every kind, as a document that was made to be removed again."""


class AdminApi:
    """Calls by the first key, whose writes are signed, or by a token."""

    def __init__(self, cluster: Cluster, namespace: str, name: str) -> None:
        self._cluster, self._namespace, self._name = cluster, namespace, name
        self._key, self._secret = "", SecretBytes(b"")

    def bootstrap(self) -> None:
        """Make the first key, which may be used from everywhere: calls come from another host."""
        allow = ("--allow", "0.0.0.0/0", "--allow", "::/0")
        said = self._in_pod("fluxgate", "admin", "bootstrap", *allow, "--output", "json")
        made = json.loads(said)
        self._key, self._secret = made["key"], SecretBytes(made["signing_secret"].encode())

    def refuses_a_second_bootstrap(self) -> bool:
        """Whether nobody gets another first key."""
        try:
            self._in_pod("fluxgate", "admin", "bootstrap")
        except Exception as refusal:  # noqa: BLE001 - kubectl or runc, whose words are looked at
            return "bootstrap" in str(refusal)
        return False

    def call(
        self, method: str, target: str, body: object = None, token: str = ""
    ) -> httpx.Response:
        """One call; by the key, or by a token."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"} if content else {}
        if token:
            headers["authorization"] = f"Bearer {token}"
        else:
            path, _, query = target.partition("?")
            signed = SignedContent(method, path, query, content)
            proof = sign(self._secret, signed, int(time.time()), secrets.token_urlsafe(16))
            headers |= {"x-fluxgate-key": self._key, **proof.headers()}
        with self._cluster.reach(self._namespace, self._name, 8090) as url:
            return httpx.request(
                method, f"{url}{target}", headers=headers, content=content, timeout=60
            )

    def token_of(self, namespace: str, account: str, *verbs: str) -> str:
        """A ServiceAccount that may do so much with Routes of its namespace, and a token for this API."""
        meta = {"name": account, "namespace": namespace}
        rbac = "rbac.authorization.k8s.io"
        rule = {"apiGroups": ["gateway.fluxgate.io"], "resources": ["routes"], "verbs": list(verbs)}
        made = (
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
            {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": account},
                "subjects": [{"kind": "ServiceAccount", **meta}],
            },
        )
        self._cluster.kubectl("apply", "-f", "-", stdin=text(*made))
        audience = ("--audience", "fluxgate-admin")
        return self._cluster.kubectl("create", "token", account, "-n", namespace, *audience).strip()

    def every_kind_is_written_read_and_deleted(self, namespace: str) -> None:
        """One object of each: the rights of the API are those it needs."""
        for kind in KINDS:
            target = f"/v2/objects/{kind}/{namespace}/made"
            document = {
                "apiVersion": "gateway.fluxgate.io/v1alpha1",
                "kind": kind,
                "metadata": {"name": "made", "namespace": namespace},
                "spec": SPECS[kind],
            }
            for labels, status in (({}, 201), ({"changed": "yes"}, 200)):
                document["metadata"] |= {"labels": labels}  # type: ignore[operator]
                answer = self.call("PUT", f"{target}?wait=none", document)
                assert answer.status_code == status, (kind, answer.text)
            assert self.call("GET", target).status_code == 200, kind
            gone = self.call("DELETE", f"{target}?wait=none")
            assert gone.status_code == 204, (kind, gone.text)

    def _in_pod(self, *command: str) -> str:
        label = "app.kubernetes.io/component=admin"
        listed = self._cluster.kubectl(
            *("get", "pods", "-n", self._namespace, "-l", label, "-o", "json")
        )
        pod = next(
            each["metadata"]["name"]
            for each in json.loads(listed)["items"]
            if "deletionTimestamp" not in each["metadata"]
        )
        return self._cluster.exec(self._namespace, pod, "admin", *command)
