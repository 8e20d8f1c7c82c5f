"""Transport sockets: TLS towards clients and towards upstreams, certificates by SDS."""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.core.v3 import base_pb2 as base_v3
from envoy.extensions.transport_sockets.tls.v3 import common_pb2 as tls_common_v3
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2 as tls_v3
from google.protobuf.message import Message

from fluxgate.ir import ClusterTLS, ListenerTLSIR
from fluxgate.xds.proto import ads, any_of, boolean

_TRANSPORT_SOCKET = "envoy.transport_sockets.tls"
_VERSIONS = {
    "1.2": tls_common_v3.TlsParameters.TLSv1_2,
    "1.3": tls_common_v3.TlsParameters.TLSv1_3,
}


def downstream_transport_socket(tls: ListenerTLSIR) -> base_v3.TransportSocket:
    """TLS termination on a listener."""
    return _socket(downstream_context(tls, tls.alpn))


def downstream_context(tls: ListenerTLSIR, alpn: Sequence[str]) -> tls_v3.DownstreamTlsContext:
    """``DownstreamTlsContext``, for the protocols in ``alpn``, the preferred first."""
    context = tls_v3.DownstreamTlsContext()
    common = context.common_tls_context
    parameters = common.tls_params
    parameters.tls_minimum_protocol_version = _VERSIONS[tls.min_version]
    parameters.tls_maximum_protocol_version = _VERSIONS[tls.max_version]
    parameters.cipher_suites.extend(tls.cipher_suites)
    parameters.ecdh_curves.extend(tls.curves)
    common.alpn_protocols.extend(alpn)
    common.tls_certificate_sds_secret_configs.extend(_sds(name) for name in tls.certificates)
    if tls.client_ca:
        common.validation_context_sds_secret_config.CopyFrom(_sds(tls.client_ca))
        context.require_client_certificate.CopyFrom(boolean(not tls.client_certificate_optional))
    return context


def upstream_transport_socket(
    tls: ClusterTLS, protocol: str, *, ca_bundle: str
) -> base_v3.TransportSocket:
    """TLS towards the endpoints of a cluster.

    The server's certificate is verified against the CA of ``tls`` or else ``ca_bundle``,
    and for the SNI name; without a name of its own each endpoint is asked for, and
    verified as, its host name.
    """
    context = tls_v3.UpstreamTlsContext(sni=tls.server_name)
    common = context.common_tls_context
    if protocol != "HTTP1":
        common.alpn_protocols.append("h2")
    if protocol in ("HTTP1", "Auto"):
        common.alpn_protocols.append("http/1.1")
    if tls.client_secret:
        common.tls_certificate_sds_secret_configs.append(_sds(tls.client_secret))
    if not tls.server_name:
        context.auto_host_sni = True
    if not tls.insecure_skip_verify:
        _verify(tls, context, ca_bundle)
    return _socket(context)


def _verify(tls: ClusterTLS, context: tls_v3.UpstreamTlsContext, ca_bundle: str) -> None:
    validation = tls_common_v3.CertificateValidationContext()
    if tls.server_name:
        matcher = validation.match_typed_subject_alt_names.add()
        matcher.san_type = tls_common_v3.SubjectAltNameMatcher.DNS
        matcher.matcher.exact = tls.server_name
    else:
        context.auto_sni_san_validation = True
    common = context.common_tls_context
    if tls.ca_secret:
        combined = common.combined_validation_context
        combined.default_validation_context.CopyFrom(validation)
        combined.validation_context_sds_secret_config.CopyFrom(_sds(tls.ca_secret))
    else:
        validation.trusted_ca.filename = ca_bundle
        common.validation_context.CopyFrom(validation)


def _sds(name: str) -> secret_v3.SdsSecretConfig:
    return secret_v3.SdsSecretConfig(name=name, sds_config=ads())


def _socket(context: Message) -> base_v3.TransportSocket:
    return base_v3.TransportSocket(name=_TRANSPORT_SOCKET, typed_config=any_of(context))
