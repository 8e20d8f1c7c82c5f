"""Destinations: what a route learns of a Backend, an Upstream, a Service or a URL.

A destination holds no endpoints. When only endpoints change it stays equal, and
no route is looked at again.
"""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.api.v1alpha1.balancing import Sticky
from fluxgate.api.v1alpha1.base import split_url
from fluxgate.api.v1alpha1.policy import BackendTLS, Retry, Timeouts
from fluxgate.ir import ClusterTLS, EndpointIR, HashPolicy, ValueMatch
from fluxgate.resources import ObjectRef, ServiceEndpoints
from fluxgate.translator.certificates import SecretLookup, resolve_ca, resolve_certificate
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec, is_address
from fluxgate.translator.findings import Finding


@dataclass(frozen=True, slots=True)
class Share:
    """A share of a destination's requests."""

    cluster: ClusterSpec
    weight: int


@dataclass(frozen=True, slots=True)
class Detour:
    """Requests that all of ``headers`` match go to ``cluster``, whatever the shares are."""

    headers: tuple[ValueMatch, ...]
    cluster: ClusterSpec


@dataclass(frozen=True, slots=True)
class Destination:
    """Where requests to one backend go; the first share is the backend itself, not its canary."""

    shares: tuple[Share, ...]
    tenant: str | None = None
    hash_policy: HashPolicy | None = None
    detours: tuple[Detour, ...] = ()
    sticky: Sticky | None = None
    timeouts: Timeouts | None = None
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A destination, or none and the reasons; and everything that was looked at."""

    destination: Destination | None
    findings: tuple[Finding, ...] = ()
    used: frozenset[ObjectRef] = frozenset()


def tls_settings(
    tls: BackendTLS | None, namespace: str, lookup: SecretLookup, host: str = ""
) -> tuple[ClusterTLS | None, list[Finding]]:
    """TLS towards an upstream; ``host`` is the server name when none is given."""
    if tls is None or not tls.enabled:
        return None, []
    ca = client = ""
    findings: list[Finding] = []
    if tls.ca_certificate_ref is not None:
        found = resolve_ca("spec.tls.caCertificateRef", tls.ca_certificate_ref, namespace, lookup)
        ca = _name_or_note(found, findings)
    if tls.client_certificate_ref is not None:
        found = resolve_certificate(
            "spec.tls.clientCertificateRef", tls.client_certificate_ref, namespace, lookup
        )
        client = _name_or_note(found, findings)
    name = tls.server_name or ("" if is_address(host) else host)
    return ClusterTLS(name, ca, client, tls.insecure_skip_verify), findings


def _name_or_note(found: str | Finding, findings: list[Finding]) -> str:
    if isinstance(found, Finding):
        findings.append(found)
        return ""
    return found


def tls_secrets(tls: BackendTLS | None, namespace: str) -> frozenset[ObjectRef]:
    """The Secrets that :func:`tls_settings` looks at."""
    if tls is None or not tls.enabled:
        return frozenset()
    references = (tls.ca_certificate_ref, tls.client_certificate_ref)
    return frozenset(
        ObjectRef("Secret", namespace, each.name) for each in references if each is not None
    )


def url_cluster(url: str, pool: str, origin: ObjectRef) -> ClusterSpec:
    """The cluster of a URL written in place; https means TLS with the host as server name."""
    scheme, host, _ = split_url(url)
    dns = not is_address(host)
    tls = ClusterTLS(server_name=host if dns else "") if scheme == "https" else None
    return ClusterSpec.of(pool, ClusterSettings(dns=dns, tls=tls), (origin,))


def url_pool(url: str) -> str:
    """The name of the endpoint pool of a URL: routes that write the same one share it."""
    scheme, host, port = split_url(url)
    return f"url/{scheme}://[{host}]:{port}" if ":" in host else f"url/{scheme}://{host}:{port}"


def url_endpoints(url: str) -> tuple[EndpointIR, ...]:
    """The one endpoint of a URL."""
    _, host, port = split_url(url)
    return (EndpointIR(host, port),)


def service_pool(namespace: str, name: str, port: int) -> str:
    """The name of the endpoint pool of one port of a Service."""
    return f"service/{namespace}/{name}:{port}"


def service_endpoints(service: ServiceEndpoints, port: int) -> tuple[EndpointIR, ...]:
    """The ready endpoints of one port, in an order of their own."""
    found = {(each.address, each.port, each.zone) for each in service.ports.get(port, ())}
    return tuple(EndpointIR(address, target, zone=zone) for address, target, zone in sorted(found))
