"""Listeners: where a fleet is reached, and how TLS is terminated there."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from fluxgate.api.v1alpha1.base import AbsolutePath, Hostname, Model, ObjectName, Port
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.rules import Rule, how_many

TLSVersion = Literal["1.2", "1.3"]
CipherSuite = Literal[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
]
Curve = Literal["X25519MLKEM768", "X25519", "P-256", "P-384", "P-521"]
ApplicationProtocol = Literal["h2", "http/1.1"]
CertificateDetail = Literal["Cert", "Chain"]


class ClientValidation(Model):
    """Client certificates on a TLS listener."""

    ca_certificate_ref: SecretRef | None = Field(
        default=None,
        description="Secret with ca.crt, and with ca.crl if revoked certificates are to be refused.",
    )
    ca_certificate_file: AbsolutePath | None = Field(
        default=None,
        description="The same as a file in PEM, for a gateway without Kubernetes; read again when "
        "it changes.",
    )
    crl_file: AbsolutePath | None = Field(
        default=None,
        description="Certificate revocation lists in PEM, one of every authority in a chain.",
    )
    optional: bool = Field(
        default=False,
        description="Take connections without a certificate, too; a wrong one is refused still.",
    )
    forward: Annotated[tuple[CertificateDetail, ...], Field(max_length=2)] = Field(
        default=(),
        description="What upstreams learn of the certificate in x-forwarded-client-cert, besides "
        "hash, subject, DNS names and URIs. What a client sends under that name never passes.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "caCertificateRef",
            "give either caCertificateRef or caCertificateFile",
            "has(self.caCertificateRef) != has(self.caCertificateFile)",
            lambda self: how_many(self.ca_certificate_ref, self.ca_certificate_file) == 1,
        ),
        Rule(
            "crlFile",
            "crlFile goes with caCertificateFile; a Secret holds ca.crl",
            "!has(self.crlFile) || has(self.caCertificateFile)",
            lambda self: self.crl_file is None or self.ca_certificate_file is not None,
        ),
    )


class CertificateFile(Model):
    """A certificate on the disk of a gateway without Kubernetes, read again when it changes."""

    certificate: AbsolutePath = Field(
        description="PEM: the server's certificate, then its intermediates."
    )
    key: AbsolutePath = Field(description="PEM, without a passphrase.")


class ListenerTLS(Model):
    """How a listener terminates TLS."""

    certificate_refs: Annotated[tuple[SecretRef, ...], Field(max_length=64)] = Field(
        default=(),
        description="Secrets with tls.crt and tls.key, and tls.ocsp-staple to staple an OCSP "
        "response (DER). Of several, the client's server name and algorithms decide.",
    )
    certificate_files: Annotated[tuple[CertificateFile, ...], Field(max_length=64)] = Field(
        default=(), description="Certificates by path, besides certificateRefs."
    )
    min_version: TLSVersion = "1.2"
    max_version: TLSVersion = "1.3"
    cipher_suites: Annotated[tuple[CipherSuite, ...], Field(max_length=14)] = Field(
        default=(),
        description="For TLS 1.2, the preferred first; Envoy's defaults when empty. Those of TLS "
        "1.3 are fixed.",
    )
    curves: Annotated[tuple[Curve, ...], Field(max_length=5)] = Field(
        default=(), description="For the key exchange; Envoy's defaults when empty."
    )
    alpn: Annotated[tuple[ApplicationProtocol, ...], Field(min_length=1, max_length=2)] = Field(
        default=("h2", "http/1.1"), description="Protocols offered, the preferred first."
    )
    client_validation: ClientValidation | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "certificateRefs",
            "an HTTPS listener needs certificateRefs or certificateFiles",
            "(has(self.certificateRefs) && self.certificateRefs.size() > 0) || "
            "(has(self.certificateFiles) && self.certificateFiles.size() > 0)",
            lambda self: bool(self.certificate_refs or self.certificate_files),
        ),
        Rule(
            "maxVersion",
            "is below minVersion",
            "self.minVersion <= self.maxVersion",
            lambda self: self.min_version <= self.max_version,
        ),
        Rule(
            "cipherSuites",
            "are for TLS 1.2, which minVersion excludes",
            "!has(self.cipherSuites) || self.cipherSuites.size() == 0 || self.minVersion == '1.2'",
            lambda self: not self.cipher_suites or self.min_version == "1.2",
        ),
    )


class HttpsRedirect(Model):
    """Send whoever comes without TLS to the same place with it."""

    port: Port = Field(default=443, description="Where clients reach the HTTPS listener.")
    status: Literal[301, 308] = Field(
        default=308, description="308 keeps the method; with 301 many clients turn POST into GET."
    )
    except_paths: Annotated[tuple[AbsolutePath, ...], Field(max_length=16)] = Field(
        default=(),
        description="Prefixes whose requests are routed here as on any listener: "
        "/.well-known/acme-challenge/ for HTTP-01.",
    )


def _check_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(
            f"{text!r} is not an IP address; write for example 0.0.0.0 or ::"
        ) from None


IPAddress = Annotated[
    str, StringConstraints(min_length=2, max_length=45), AfterValidator(_check_address)
]


class Listener(Model):
    """One address and port the fleet listens on, for HTTP/1.1 and HTTP/2 alike.

    HTTPS listeners with different hostnames may share an address and port.
    """

    name: ObjectName
    address: IPAddress = "0.0.0.0"  # noqa: S104 - a gateway is there to be reached
    port: Port
    protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=64)] = Field(
        default=(), description="Server names (SNI) of a TLS listener; empty means any."
    )
    tls: ListenerTLS | None = None
    redirect_to_https: HttpsRedirect | None = Field(
        default=None, description="For an HTTP listener: answer with a redirect, and route nothing."
    )
    http3: bool = Field(
        default=False,
        description="Also serve HTTP/3, by UDP on the same port, and tell clients in alt-svc.",
    )
    http3_port: Port | None = Field(
        default=None,
        description="The UDP port clients reach, as alt-svc says it; when absent, that of "
        "exposure.ports or the listener's own.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "tls",
            "an HTTPS listener needs tls, an HTTP listener has none",
            "(self.protocol == 'HTTPS') == has(self.tls)",
            lambda self: (self.protocol == "HTTPS") == (self.tls is not None),
        ),
        Rule(
            "hostnames",
            "server names need protocol HTTPS",
            "self.protocol == 'HTTPS' || !has(self.hostnames) || self.hostnames.size() == 0",
            lambda self: self.protocol == "HTTPS" or not self.hostnames,
        ),
        Rule(
            "http3",
            "HTTP/3 needs protocol HTTPS",
            "self.protocol == 'HTTPS' || !self.http3",
            lambda self: self.protocol == "HTTPS" or not self.http3,
        ),
        Rule(
            "http3Port",
            "needs http3",
            "!has(self.http3Port) || self.http3",
            lambda self: self.http3_port is None or self.http3,
        ),
        Rule(
            "http3",
            "HTTP/3 is TLS 1.3, which tls.maxVersion excludes",
            "!self.http3 || !has(self.tls) || self.tls.maxVersion == '1.3'",
            lambda self: not self.http3 or self.tls is None or self.tls.max_version == "1.3",
        ),
        Rule(
            "redirectToHttps",
            "is for protocol HTTP",
            "!has(self.redirectToHttps) || self.protocol == 'HTTP'",
            lambda self: self.redirect_to_https is None or self.protocol == "HTTP",
        ),
    )


def bound_apart(listeners: Sequence[Listener]) -> bool:
    """Whether no HTTP listener shares its address and port."""
    bound = Counter((each.address, each.port) for each in listeners)
    return all(
        each.protocol == "HTTPS" or bound[each.address, each.port] == 1 for each in listeners
    )
