"""Secrets: certificates and CA bundles, delivered by SDS so that they rotate without a drop."""

from __future__ import annotations

from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3

from fluxgate.ir import CertificateIR


def build_secret(certificate: CertificateIR) -> secret_v3.Secret:
    """The ``Secret`` of a certificate with its key, or of a CA bundle when it has no key."""
    message = secret_v3.Secret(name=certificate.name)
    if certificate.private_key is None:
        message.validation_context.trusted_ca.inline_bytes = certificate.certificate
        if certificate.crl:
            message.validation_context.crl.inline_bytes = certificate.crl
    else:
        message.tls_certificate.certificate_chain.inline_bytes = certificate.certificate
        message.tls_certificate.private_key.inline_bytes = certificate.private_key.reveal()
        if certificate.ocsp_staple:
            message.tls_certificate.ocsp_staple.inline_bytes = certificate.ocsp_staple
    return message
