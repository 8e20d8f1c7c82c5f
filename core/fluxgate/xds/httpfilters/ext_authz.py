"""External authorization: Envoy's ext_authz filter, in a slot, whole for every route.

In a slot, because its configuration per route can say which service is asked, but not what happens
when that fails, nor which headers it sees and sets.

Protos: envoy.extensions.filters.http.ext_authz.v3.ExtAuthz.
"""

from __future__ import annotations

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as mutation_rules_v3
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.core.v3 import grpc_service_pb2 as grpc_service_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2 as ext_authz_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.type.matcher.v3 import string_pb2 as string_matcher_v3

from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.ir.policies.ext_authz import ExtAuthz, settable
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names
from fluxgate.xds.httpfilters.slot import fill, slot
from fluxgate.xds.proto import boolean, duration

_MAX_REFUSAL_BYTES = 65_536
_NOTHING = "^$"
_FRAMING = ("content-length", "transfer-encoding")
"""How a message is read: that of an HTTP service's answer fits no request."""


class ExternalAuthorization:
    """The slot of the filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.EXT_AUTHZ_SLOT

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:
        """The empty slot."""
        del gateway
        return slot(self.name)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Put the filter with the route's service into the slot."""
        if (rule := route.policy(ExtAuthz)) is not None:
            fill(message, self.name, "envoy.filters.http.ext_authz", build_ext_authz(rule))

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """None."""
        del gateway
        return ()


def build_ext_authz(rule: ExtAuthz) -> ext_authz_v3.ExtAuthz:
    """The filter's configuration. The service never makes Envoy choose another route."""
    config = ext_authz_v3.ExtAuthz(
        transport_api_version="V3",
        failure_mode_allow=rule.fail_open,
        validate_mutations=True,
        metadata_context_namespaces=[names.AUTH_METADATA],
        include_peer_certificate=rule.client_certificate,
        allowed_headers=_listed(rule.request_headers),
        decoder_header_mutation_rules=_may_set(rule),
        enable_dynamic_metadata_ingestion=boolean(value=False),
        max_denied_response_body_bytes=_MAX_REFUSAL_BYTES,
        enforce_response_header_limits=True,
    )
    config.status_on_error.code = rule.status_on_error
    if rule.body is not None:
        config.with_request_body.max_request_bytes = rule.body.max_bytes
        config.with_request_body.allow_partial_message = rule.body.partial
        config.with_request_body.pack_as_bytes = True
    if rule.grpc:
        config.grpc_service.CopyFrom(_grpc_service(rule))
    else:
        config.http_service.CopyFrom(_http_service(rule))
    return config


def _grpc_service(rule: ExtAuthz) -> grpc_service_v3.GrpcService:
    return grpc_service_v3.GrpcService(
        envoy_grpc=grpc_service_v3.GrpcService.EnvoyGrpc(
            cluster_name=rule.cluster, authority=rule.authority
        ),
        timeout=duration(rule.timeout_ms),
        initial_metadata=_told(rule),
    )


def _http_service(rule: ExtAuthz) -> ext_authz_v3.HttpService:
    service = ext_authz_v3.HttpService(path_prefix=rule.path)
    # only the cluster counts; Envoy wants the rest to be a URL
    service.server_uri.uri = f"http://{rule.authority}"
    service.server_uri.cluster = rule.cluster
    service.server_uri.timeout.CopyFrom(duration(rule.timeout_ms))
    service.authorization_request.headers_to_add.extend(_told(rule))
    answer = service.authorization_response
    answer.allowed_upstream_headers.CopyFrom(_listed(rule.upstream_headers))
    answer.allowed_client_headers.CopyFrom(_listed(rule.client_headers))
    return service


def _told(rule: ExtAuthz) -> list[core_v3.HeaderValue]:
    return [core_v3.HeaderValue(key=name, value=value) for name, value in rule.told]


def _listed(headers: tuple[str, ...]) -> string_matcher_v3.ListStringMatcher:
    """These names; without any, one that no header has: an empty list means all of them."""
    listed = string_matcher_v3.ListStringMatcher()
    for name in headers:
        matcher = listed.patterns.add()
        if name.endswith("*"):
            matcher.prefix = name[:-1]
        else:
            matcher.exact = name
        if name == "*":
            matcher.safe_regex.regex = ".*"
    if not headers:
        listed.patterns.add().exact = _NOTHING
    return listed


def _may_set(rule: ExtAuthz) -> mutation_rules_v3.HeaderMutationRules:
    """What the service may set or remove on the request; anything else is ignored.

    What an HTTP service may set is listed where its answer is read, so only what nobody may
    set without its full name remains.
    """
    rules = mutation_rules_v3.HeaderMutationRules(
        disallow_system=boolean(value=True), disallow_all=boolean(rule.grpc)
    )
    if rule.grpc and rule.upstream_headers:
        rules.allow_expression.regex = settable(rule.upstream_headers)
    named = [name for name in names.IDENTITY_HEADERS if name not in rule.upstream_headers]
    rules.disallow_expression.regex = "|".join((*_FRAMING, *named))
    return rules
