"""What an API server and its clients read from files: certificates, tokens, kubeconfigs, policies."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.certificates import Authority, Pair

ADMIN = "fluxgate-tests"
"""Who the tests are, by the name in the audit log."""

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["system:apiserver"]},
        {
            "level": "RequestResponse",
            "verbs": ["patch"],
            "resources": [{"group": "gateway.fluxgate.io", "resources": ["*/status"]}],
        },
        {"level": "Metadata"},
    ],
}


@dataclass(frozen=True, slots=True)
class ClusterFiles:
    """The files of one API server, all in ``folder``."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority that signed the server and may sign clients."""
        return self.folder / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        """A cluster admin's, by token."""
        return self.folder / "kubeconfig"

    @property
    def client_kubeconfig(self) -> Path:
        """A cluster admin's, by certificate."""
        return self.folder / "kubeconfig-certificate"

    @property
    def audit_log(self) -> Path:
        """One JSON document (audit.k8s.io/v1 Event) a line."""
        return self.folder / "audit.log"

    @property
    def admin_token(self) -> str:
        """The token that ``kubeconfig`` holds."""
        return (self.folder / "admin.token").read_text()


def write_files(folder: Path, url: str, address: str = "127.0.0.1") -> ClusterFiles:
    """Make an authority and everything it signs, and write what etcd and the API server need."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ClusterFiles(folder)
    authority = Authority("FluxGate test cluster")
    files.ca.write_bytes(authority.pem)
    for name in ("server", "proxy"):
        names = dict.fromkeys(("localhost", "127.0.0.1", address, "kubernetes.default"))
        _write_pair(folder, name, authority.issue(*names))
    client = authority.issue(ADMIN, client=True, organization="system:masters")
    _write_pair(folder, "client", client)
    _write_service_account_keys(folder)
    token = secrets.token_urlsafe(24)
    (folder / "admin.token").write_text(token)
    (folder / "tokens.csv").write_text(f'{token},{ADMIN},{ADMIN},"system:masters"\n')
    (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY))
    write_kubeconfig(files.kubeconfig, url, files.ca, {"token": token})
    write_kubeconfig(
        files.client_kubeconfig,
        url,
        files.ca,
        {
            "client-certificate": str(folder / "client.crt"),
            "client-key": str(folder / "client.key"),
        },
    )
    return files


def write_kubeconfig(
    path: Path, url: str, ca: Path, user: dict[str, object], *, namespace: str = "default"
) -> Path:
    """A kubeconfig (client.config.k8s.io/v1) with one context; ``user`` is its user entry.

    JSON is YAML, so every client reads it.
    """
    authority = base64.b64encode(ca.read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [
            {"name": "test", "cluster": {"server": url, "certificate-authority-data": authority}}
        ],
        "users": [{"name": "test", "user": user}],
        "contexts": [
            {
                "name": "test",
                "context": {"cluster": "test", "user": "test", "namespace": namespace},
            }
        ],
    }
    path.write_text(json.dumps(document, indent=2))
    return path


def _write_pair(folder: Path, name: str, pair: Pair) -> None:
    (folder / f"{name}.crt").write_bytes(pair.certificate)
    (folder / f"{name}.key").write_bytes(pair.key)


def _write_service_account_keys(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "sa.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    (folder / "sa.pub").write_bytes(public)
