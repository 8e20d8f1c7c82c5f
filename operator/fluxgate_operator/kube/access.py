"""Where the API server is, and how requests prove who makes them.

The official client reads kubeconfig files (exec plugins included) and a pod's ServiceAccount;
only the requests themselves are ours (:mod:`fluxgate_operator.kube.client`).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_kube_config

from fluxgate_operator.kube.errors import KubeConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds ``token``, ``ca.crt`` and ``namespace`` (Kubernetes: ServiceAccount admission)."""

Authorize = Callable[[], Awaitable[str | None]]

_READ = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG")


@dataclass(frozen=True, slots=True)
class AccessOrigin:
    """What :func:`load_access` was told, for another process that loads the same by itself.

    Of the environment only what is read. Holds paths, no token.
    """

    kubeconfig: Path | None
    context: str | None
    environ: Mapping[str, str]
    service_account: Path


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """The API server's URL, the TLS towards it, and the ``authorization`` header of a request.

    ``authorize`` is asked for every request, because tokens rotate; None when a client
    certificate speaks instead. ``namespace`` is the one of the pod or of the kubeconfig's context.
    ``ca_file`` is for programs of others that want a file, ``origin`` for processes of our own.
    """

    url: str
    tls: ssl.SSLContext
    authorize: Authorize
    namespace: str = "default"
    ca_file: Path | None = None
    origin: AccessOrigin | None = None


async def load_access(
    kubeconfig: Path | None,
    context: str | None,
    environ: Mapping[str, str],
    service_account: Path = SERVICE_ACCOUNT,
) -> ClusterAccess:
    """Access by ``kubeconfig``, else by the pod's ServiceAccount, else by the user's kubeconfig.

    Raises :class:`KubeConfigError`, which says what was looked at.
    """
    read = {name: environ[name] for name in _READ if name in environ}
    origin = AccessOrigin(kubeconfig, context, read, service_account)
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in environ:
        return replace(_in_cluster(environ, service_account), origin=origin)
    path = kubeconfig or Path(environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    return replace(await _from_kubeconfig(path, context), origin=origin)


def _in_cluster(environ: Mapping[str, str], folder: Path) -> ClusterAccess:
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
    host = f"[{host}]" if ":" in host else host
    ca, namespace = folder / "ca.crt", folder / "namespace"
    try:
        tls = ssl.create_default_context(cafile=str(ca))
        own = namespace.read_text().strip() if namespace.exists() else "default"
    except OSError as error:
        raise KubeConfigError(f"the ServiceAccount in {folder} cannot be read: {error}") from error
    return ClusterAccess(
        f"https://{host}:{port}", tls, _token_of(folder / "token"), own or "default", ca
    )


def _token_of(path: Path) -> Authorize:
    """Read for every request: the kubelet replaces the file when the token rotates."""

    async def authorize() -> str | None:
        try:
            return f"Bearer {_text(path)}"
        except OSError as error:
            raise KubeConfigError(f"the token {path} cannot be read: {error}") from error

    return authorize


def _text(path: Path) -> str:
    return path.read_text().strip()


async def _from_kubeconfig(path: Path, context: str | None) -> ClusterAccess:
    configuration = Configuration()
    try:
        user, namespace = _chosen(yaml.safe_load(_text(path)), context)
        await load_kube_config(  # type: ignore[no-untyped-call]
            config_file=str(path), context=context, client_configuration=configuration
        )
        tls = await asyncio.to_thread(_tls_of, configuration)
    except FileNotFoundError as error:
        raise KubeConfigError(
            f"{path} is not there; name a kubeconfig with --kubeconfig or KUBECONFIG"
        ) from error
    except (ConfigException, OSError, TypeError, ValueError, yaml.YAMLError) as error:
        raise KubeConfigError(f"{path} cannot be used: {error}") from error
    token_file = user.get("tokenFile")
    authorize = (
        _token_of(path.parent / str(token_file)) if token_file else _authorize_by(configuration)
    )
    ca = Path(configuration.ssl_ca_cert) if configuration.ssl_ca_cert else None
    return ClusterAccess(str(configuration.host).rstrip("/"), tls, authorize, namespace, ca)


def _authorize_by(configuration: Configuration) -> Authorize:
    async def authorize() -> str | None:
        return await configuration.get_api_key_with_prefix("BearerToken")

    return authorize


def _tls_of(configuration: Configuration) -> ssl.SSLContext:
    tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    if not configuration.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls


def _chosen(config: object, context: str | None) -> tuple[Mapping[str, object], str]:
    """The user's entry and the namespace of a kubeconfig's context (client.config.k8s.io/v1)."""
    if not isinstance(config, dict):
        raise TypeError("it is not a mapping")
    name = context or config.get("current-context")
    found = _entry(config.get("contexts"), name, "context")
    user = _entry(config.get("users"), found.get("user"), "user")
    return user, str(found.get("namespace") or "default")


def _entry(entries: object, name: object, part: str) -> Mapping[str, object]:
    """What the entry called ``name`` of a list says in ``part``; nothing when it is not there."""
    listed = entries if isinstance(entries, list) else []
    named = (each for each in listed if isinstance(each, dict) and each.get("name") == name)
    value = next(named, {}).get(part) or {}
    if not isinstance(value, dict):
        raise TypeError(f"the {part} {name} is not a mapping")
    return value
