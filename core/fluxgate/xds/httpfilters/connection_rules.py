"""Who may call at all, by what the connection says: ``ip-restriction`` and ``mtls-auth``.

One RBAC filter serves both. Its rule is an ``ALLOW``: what fits none of its policies, and what
cannot be evaluated, is refused. Address and names are principals; subject and fingerprint, for
which RBAC has no principal, are CEL conditions.

Protos: envoy.extensions.filters.http.rbac.v3.RBAC, envoy.config.rbac.v3.RBAC,
envoy.extensions.rbac.principals.mtls_authenticated.v3.Config, google.api.expr.v1alpha1.Expr.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from envoy.config.core.v3 import address_pb2 as address_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.rbac.v3 import rbac_pb2 as rbac_v3
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as rbac_filter_v3
from envoy.extensions.rbac.principals.mtls_authenticated.v3 import (
    mtls_authenticated_pb2 as mtls_authenticated_v3,
)
from envoy.extensions.transport_sockets.tls.v3 import common_pb2 as tls_common_v3
from envoy.type.matcher.v3 import string_pb2 as string_matcher_v3
from google.api.expr.v1alpha1 import syntax_pb2

from fluxgate.ir import HTTPRoute
from fluxgate.ir.policies.ip_restriction import IpRestriction
from fluxgate.ir.policies.mtls_auth import MtlsAuth
from fluxgate.xds.httpfilters.credential_classes import may_be_missing
from fluxgate.xds.proto import any_of, uint32

_SAN = tls_common_v3.SubjectAltNameMatcher
_EVERYTHING_BELOW = "/*"


def build_connection_rules(route: HTTPRoute) -> rbac_filter_v3.RBAC | None:
    """The RBAC filter of ``route``; None when it admits everybody."""
    addresses, certificates = route.policy(IpRestriction), route.policy(MtlsAuth)
    if addresses is None and certificates is None:
        return None
    optional = may_be_missing(route, "MTLS")
    return rbac_filter_v3.RBAC(rules=build_rules(addresses, certificates, optional=optional))


def build_rules(
    addresses: IpRestriction | None, certificates: MtlsAuth | None, *, optional: bool
) -> rbac_v3.RBAC:
    """Who is admitted: by address, and by one of the ways of their certificate.

    With ``optional`` also those without any certificate, but never those with another one.
    """
    common = [] if addresses is None else [admitted_address(addresses)]
    if certificates is None:
        return _allowing(address=_policy(common))
    verified = _verified(mtls_authenticated_v3.Config(any_validated_client_certificate=True))
    policies = {}
    if optional:
        policies["none"] = _policy([*common, rbac_v3.Principal(not_id=verified)])
    common.append(verified)
    if names_admitted := _names(certificates):
        policies["name"] = _policy([*common, _any_of(names_admitted)])
    if condition := _condition(certificates):
        policies["content"] = _policy(common, condition)
    if not (names_admitted or condition):
        policies["any"] = _policy(common)
    return _allowing(**policies)


def _allowing(**policies: rbac_v3.Policy) -> rbac_v3.RBAC:
    return rbac_v3.RBAC(action=rbac_v3.RBAC.ALLOW, policies=policies)


def _policy(
    principals: list[rbac_v3.Principal], condition: syntax_pb2.Expr | None = None
) -> rbac_v3.Policy:
    return rbac_v3.Policy(
        permissions=[rbac_v3.Permission(any=True)],
        principals=[rbac_v3.Principal(and_ids=rbac_v3.Principal.Set(ids=principals))],
        condition=condition,
    )


def admitted_address(rule: IpRestriction) -> rbac_v3.Principal:
    """The principal of every client whose address ``rule`` admits.

    ``remote_ip`` is the address the gateway trusts, which honours the trusted hops.
    """
    conditions = []
    if rule.deny:
        conditions.append(rbac_v3.Principal(not_id=_any_of(map(_within, rule.deny))))
    if rule.allow:
        conditions.append(_any_of(map(_within, rule.allow)))
    return rbac_v3.Principal(and_ids=rbac_v3.Principal.Set(ids=conditions))


def _names(rule: MtlsAuth) -> list[rbac_v3.Principal]:
    """The subject alternative names, any of them; an empty list says nothing."""
    return [
        *(_named(_SAN.URI, _uri(each)) for each in rule.uris),
        *(_named(_SAN.DNS, _dns_name(each)) for each in rule.dns_names),
        *(_named(_SAN.EMAIL, _exact(each)) for each in rule.emails),
    ]


def _condition(rule: MtlsAuth) -> syntax_pb2.Expr | None:
    """``subject in [...] || fingerprint in [...]``; None when both lists are empty."""
    parts = [
        _in(attribute, values)
        for attribute, values in (
            ("subject_peer_certificate", rule.subjects),
            ("sha256_peer_certificate_digest", rule.fingerprints),
        )
        if values
    ]
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else _call("_||_", *parts)


def _in(attribute: str, values: Iterable[str]) -> syntax_pb2.Expr:
    connection = syntax_pb2.Expr(ident_expr=syntax_pb2.Expr.Ident(name="connection"))
    selected = syntax_pb2.Expr.Select(operand=connection, field=attribute)
    elements = [
        syntax_pb2.Expr(const_expr=syntax_pb2.Constant(string_value=each)) for each in values
    ]
    listed = syntax_pb2.Expr(list_expr=syntax_pb2.Expr.CreateList(elements=elements))
    return _call("@in", syntax_pb2.Expr(select_expr=selected), listed)


def _call(function: str, *arguments: syntax_pb2.Expr) -> syntax_pb2.Expr:
    call = syntax_pb2.Expr.Call(function=function, args=arguments)
    return syntax_pb2.Expr(call_expr=call)


def _any_of(principals: Iterable[rbac_v3.Principal]) -> rbac_v3.Principal:
    return rbac_v3.Principal(or_ids=rbac_v3.Principal.Set(ids=list(principals)))


def _within(cidr: str) -> rbac_v3.Principal:
    network = ipaddress.ip_network(cidr)
    block = address_v3.CidrRange(
        address_prefix=str(network.network_address), prefix_len=uint32(network.prefixlen)
    )
    return rbac_v3.Principal(remote_ip=block)


def _verified(config: mtls_authenticated_v3.Config) -> rbac_v3.Principal:
    return rbac_v3.Principal(
        custom=extension_v3.TypedExtensionConfig(
            name="envoy.rbac.principals.mtls_authenticated", typed_config=any_of(config)
        )
    )


def _named(kind: int, matcher: string_matcher_v3.StringMatcher) -> rbac_v3.Principal:
    san = _SAN(san_type=kind, matcher=matcher)
    return _verified(mtls_authenticated_v3.Config(san_matcher=san))


def _exact(value: str) -> string_matcher_v3.StringMatcher:
    return string_matcher_v3.StringMatcher(exact=value)


def _uri(value: str) -> string_matcher_v3.StringMatcher:
    if not value.endswith(_EVERYTHING_BELOW):
        return _exact(value)
    # with its slash: whole segments only
    return string_matcher_v3.StringMatcher(prefix=value[:-1])


def _dns_name(value: str) -> string_matcher_v3.StringMatcher:
    if value.startswith("*."):
        return string_matcher_v3.StringMatcher(suffix=value[1:], ignore_case=True)
    return string_matcher_v3.StringMatcher(exact=value, ignore_case=True)
