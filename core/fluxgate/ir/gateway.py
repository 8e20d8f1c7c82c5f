"""One gateway: listeners, virtual hosts, clusters, keys and plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from fluxgate.ir.auth import ApiKeyTable, PlanBucket
from fluxgate.ir.cluster import Cluster
from fluxgate.ir.policy import Shared
from fluxgate.ir.route import HTTPRoute
from fluxgate.ir.telemetry import LogExportIR, TracingIR
from fluxgate.resources import ObjectRef
from fluxgate.secret import SecretBytes

S = TypeVar("S", bound=Shared)


@dataclass(frozen=True, slots=True)
class CertificateIR:
    """A certificate chain with its key, or a CA bundle (``private_key`` absent), by SDS name.

    ``ocsp_staple`` (DER) belongs to the former, ``crl`` (PEM) to the latter.
    """

    name: str
    origin: ObjectRef
    certificate: bytes
    private_key: SecretBytes | None = None
    ocsp_staple: bytes = b""
    crl: bytes = b""


@dataclass(frozen=True, slots=True)
class ServerNamesIR:
    """A certificate, by its SDS name, for clients that ask for one of ``server_names``."""

    certificate: str
    server_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListenerTLSIR:
    """TLS termination. Certificates are SDS names; ``by_name`` come before ``certificates``."""

    certificates: tuple[str, ...]
    min_version: str = "1.2"
    client_ca: str = ""
    client_certificate_optional: bool = False
    by_name: tuple[ServerNamesIR, ...] = ()
    max_version: str = "1.3"
    cipher_suites: tuple[str, ...] = ()
    """Of TLS 1.2; Envoy's defaults when empty, as for ``curves``."""
    curves: tuple[str, ...] = ()
    alpn: tuple[str, ...] = ("h2", "http/1.1")
    forward: tuple[str, ...] = ()
    """What x-forwarded-client-cert says besides hash, subject and names: ``Cert``, ``Chain``."""


@dataclass(frozen=True, slots=True)
class HttpsRedirectIR:
    """Where requests without TLS are sent, but for the path prefixes in ``except_paths``."""

    port: int = 443
    status: int = 308
    except_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccessLogIR:
    """Where the JSON access log goes; empty path for none."""

    path: str = "/dev/stdout"


@dataclass(frozen=True, slots=True)
class VirtualHost:
    """All routes a request for one host may take, in the order they are tried.

    ``host`` is exact, ``*.suffix`` or ``*``. Routes of less specific hosts that also cover
    this one are among them: after its own of the same priority, before those of a lower one
    (:func:`fluxgate.routing.precedence.route_sort_key`).
    """

    host: str
    routes: tuple[HTTPRoute, ...]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The virtual hosts of one or more listeners, sorted by host; one RouteConfiguration."""

    name: str
    virtual_hosts: tuple[VirtualHost, ...]


@dataclass(frozen=True, slots=True)
class ListenerIR:
    """One address and port; ``route_table`` names the table its requests are routed by.

    HTTPS listeners of one address and port go by ``server_names``, empty for any. One that is
    ``closed`` ends every connection that asks for its names: else those would come to another.
    """

    name: str
    address: str
    port: int
    route_table: str
    server_names: tuple[str, ...] = ()
    tls: ListenerTLSIR | None = None
    redirect: HttpsRedirectIR | None = None
    http3: bool = False
    alt_svc_port: int = 0
    """The UDP port that clients are told of; with ``http3``."""
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything one fleet serves. Durations in milliseconds."""

    name: str
    origin: ObjectRef
    listeners: tuple[ListenerIR, ...]
    route_tables: tuple[RouteTable, ...]
    clusters: tuple[Cluster, ...]
    api_keys: ApiKeyTable
    plans: tuple[PlanBucket, ...]
    certificates: tuple[CertificateIR, ...] = ()
    access_log: AccessLogIR = AccessLogIR()
    log_export: LogExportIR | None = None
    tracing: TracingIR | None = None
    trusted_hops: int = 0
    preserve_request_id: bool = False
    max_request_headers_kib: int = 60
    max_headers: int = 100
    max_concurrent_streams: int = 100
    client_header_timeout_ms: int = 10_000
    idle_timeout_ms: int = 300_000
    ca_bundle: str = "/etc/ssl/certs/ca-certificates.crt"
    """The file, where Envoy runs, with the certificates upstream TLS trusts by default."""
    proxyless: bool = False
    """Whether gRPC clients without a proxy get resources of their own."""
    shared: tuple[Shared, ...] = ()
    """What policies of several routes have in common, sorted by class and name."""

    @property
    def tells_of_requests(self) -> bool:
        """Whether anyone reads whose request it was: a log or a trace."""
        return bool(self.access_log.path) or self.log_export is not None or self.tracing is not None

    def shared_of(self, kind: type[S]) -> tuple[S, ...]:
        """The shared objects of one class, sorted by name."""
        return tuple([each for each in self.shared if isinstance(each, kind)])
