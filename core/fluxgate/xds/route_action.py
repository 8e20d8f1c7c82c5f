"""What a route does, as ``envoy.config.route.v3.RouteAction`` or ``DirectResponseAction``."""

from __future__ import annotations

import re

from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.retry.host.previous_hosts.v3 import (
    previous_hosts_pb2 as previous_hosts_v3,
)
from envoy.type.v3 import percent_pb2 as percent_v3

from fluxgate.ir import (
    DirectResponse,
    Forward,
    HashPolicy,
    MirrorIR,
    PathKind,
    PathMatch,
    PathRewriteIR,
    Redirect,
    RetryPolicy,
    RewriteKind,
    StickyCookie,
)
from fluxgate.routing.path import literal_prefix, normalise_prefix
from fluxgate.xds import names
from fluxgate.xds.proto import any_of, duration, uint32

_MILLION = 1_000_000
_HOST_SELECTIONS = 20
"""How often a retry may draw another endpoint before it takes one that was tried.

A hash draws the same again for the same request: with two endpoints, five draws would fail for
one request in 32, every time.
"""
_RETRIABLE_STATUS_CODES = "retriable-status-codes"


def build_direct_response(action: DirectResponse) -> route_v3.DirectResponseAction:
    """An answer of the proxy's own.

    The body is the bare message. Envoy sends direct responses through the connection
    manager's ``local_reply_config``, whose ``body_format`` turns it
    (``%LOCAL_REPLY_BODY%``) into the JSON error shape.
    """
    message = route_v3.DirectResponseAction(status=action.status)
    if action.message:
        message.body.inline_string = action.message
    return message


def add_answer_headers(message: route_v3.Route, action: DirectResponse) -> None:
    """The headers of a direct response, and the mark that keeps its body as it is."""
    content_type = (("content-type", action.content_type),) if action.content_type else ()
    for name, value in (*content_type, *action.headers):
        message.response_headers_to_add.add(
            header=core_v3.HeaderValue(key=name, value=value.replace("%", "%%")),
            append_action=core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    if action.verbatim:
        message.metadata.filter_metadata[names.ANSWER_METADATA]["verbatim"] = True


_REDIRECT_CODES = {
    301: route_v3.RedirectAction.MOVED_PERMANENTLY,
    302: route_v3.RedirectAction.FOUND,
    303: route_v3.RedirectAction.SEE_OTHER,
    307: route_v3.RedirectAction.TEMPORARY_REDIRECT,
    308: route_v3.RedirectAction.PERMANENT_REDIRECT,
}


def build_redirect(path: PathMatch, action: Redirect) -> route_v3.RedirectAction:
    """``envoy.config.route.v3.RedirectAction``; ``path`` is what the route matches.

    Raises ``KeyError`` for a status that is none.
    """
    message = route_v3.RedirectAction(
        response_code=_REDIRECT_CODES[action.status],
        host_redirect=action.host,
        port_redirect=action.port,
        strip_query=action.strip_query,
    )
    if action.scheme:
        message.scheme_redirect = action.scheme
    if action.path:
        message.path_redirect = action.path
    elif action.prefix:
        _set_prefix_rewrite(message, path, action.prefix)
    return message


def build_forward(path: PathMatch, action: Forward) -> route_v3.RouteAction:
    """Forward to one cluster or a weighted choice; ``path`` is what the route matches.

    Raises ``ValueError`` when no destination has a weight: Envoy would reject the route.
    """
    message = route_v3.RouteAction(timeout=duration(action.timeout_ms))
    _set_destinations(message, action)
    if action.idle_timeout_ms is not None:
        message.idle_timeout.CopyFrom(duration(action.idle_timeout_ms))
    if action.retry is not None and action.retry.attempts:
        message.retry_policy.CopyFrom(build_retry_policy(action.retry))
    if action.retry is not None and action.retry.hedge:
        message.hedge_policy.hedge_on_per_try_timeout = True
    message.request_mirror_policies.extend(_mirror(each) for each in action.mirrors)
    if action.path_rewrite is not None:
        _set_path_rewrite(message, path, action.path_rewrite)
    if action.host_rewrite:
        message.host_rewrite_literal = action.host_rewrite
    if action.hash_policy is not None:
        message.hash_policy.append(_hash_policy(action.hash_policy))
    if action.websocket:
        message.upgrade_configs.add(upgrade_type="websocket")
    return message


def _set_destinations(message: route_v3.RouteAction, action: Forward) -> None:
    weighted = [each for each in action.destinations if each.weight > 0]
    if not weighted:
        raise ValueError("a route must have at least one destination with a weight above 0")
    if len(weighted) == 1:
        message.cluster = weighted[0].cluster
        return
    for each in weighted:
        cluster = message.weighted_clusters.clusters.add(
            name=each.cluster, weight=uint32(each.weight)
        )
        if action.sticky_cookie is not None:
            _set_cookie(cluster, action.sticky_cookie, each.mark)
    if action.choose_by_hash:
        message.weighted_clusters.use_hash_policy.value = True


def _set_cookie(
    cluster: route_v3.WeightedCluster.ClusterWeight, cookie: StickyCookie, mark: str
) -> None:
    """Let the answer say which destination it came from (RFC 6265 section 4.1)."""
    age = f"; Max-Age={cookie.ttl_s}" if cookie.ttl_s else ""
    option = cluster.response_headers_to_add.add(
        append_action=core_v3.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
    )
    option.header.key = "set-cookie"
    option.header.value = f"{cookie.name}={mark}; Path=/{age}; HttpOnly; SameSite=Lax".replace(
        "%", "%%"
    )


def build_retry_policy(retry: RetryPolicy) -> route_v3.RetryPolicy:
    """``envoy.config.route.v3.RetryPolicy``; causes of HTTP and gRPC stand in one list."""
    causes = list(retry.retry_on)
    if retry.status_codes and _RETRIABLE_STATUS_CODES not in causes:
        causes.append(_RETRIABLE_STATUS_CODES)
    message = route_v3.RetryPolicy(
        retry_on=",".join(causes),
        num_retries=uint32(retry.attempts),
        retriable_status_codes=retry.status_codes,
    )
    if retry.per_try_timeout_ms:
        message.per_try_timeout.CopyFrom(duration(retry.per_try_timeout_ms))
    if retry.per_try_idle_timeout_ms:
        message.per_try_idle_timeout.CopyFrom(duration(retry.per_try_idle_timeout_ms))
    if retry.another_host:
        message.retry_host_predicate.add(
            name="envoy.retry_host_predicates.previous_hosts",
            typed_config=any_of(previous_hosts_v3.PreviousHostsPredicate()),
        )
        message.host_selection_retry_max_attempts = _HOST_SELECTIONS
    if retry.back_off_base_ms:
        longest = max(retry.back_off_max_ms, retry.back_off_base_ms)
        message.retry_back_off.base_interval.CopyFrom(duration(retry.back_off_base_ms))
        message.retry_back_off.max_interval.CopyFrom(duration(longest))
    return message


def _mirror(mirror: MirrorIR) -> route_v3.RouteAction.RequestMirrorPolicy:
    share = percent_v3.FractionalPercent(
        numerator=round(mirror.percent * _MILLION / 100),
        denominator=percent_v3.FractionalPercent.MILLION,
    )
    return route_v3.RouteAction.RequestMirrorPolicy(
        cluster=mirror.cluster,
        runtime_fraction=core_v3.RuntimeFractionalPercent(default_value=share),
    )


def _hash_policy(policy: HashPolicy) -> route_v3.RouteAction.HashPolicy:
    """A cookie without a time to live is only read; with one the proxy sets it when missing.

    A time to live of 0 makes a cookie of the browser's session.
    """
    message = route_v3.RouteAction.HashPolicy()
    if policy.header:
        message.header.header_name = policy.header
    elif policy.cookie:
        message.cookie.name = policy.cookie
        if policy.cookie_ttl_ms is not None:
            message.cookie.path = "/"
            message.cookie.ttl.CopyFrom(duration(policy.cookie_ttl_ms))
    else:
        message.connection_properties.source_ip = policy.source_ip
    return message


def _set_path_rewrite(
    message: route_v3.RouteAction, path: PathMatch, rewrite: PathRewriteIR
) -> None:
    match rewrite.kind:
        case RewriteKind.FULL:
            _set_regex_rewrite(message, "^.*$", _literal_substitution(rewrite.value or "/"))
        case RewriteKind.REGEX:
            _set_regex_rewrite(message, rewrite.pattern, rewrite.value)
        case RewriteKind.PREFIX:
            _set_prefix_rewrite(message, path, rewrite.value)


def _set_prefix_rewrite(
    message: route_v3.RouteAction | route_v3.RedirectAction, path: PathMatch, value: str
) -> None:
    """Replace whole segments, so that no slash is lost or doubled.

    Envoy's ``prefix_rewrite`` replaces exactly the text that matched: ``/a`` by ``/``
    would make ``//b`` of ``/a/b``, and ``/`` by ``/x`` would make ``/xb`` of ``/b``. What
    is replaced is the prefix of a Prefix, the whole of an Exact path, and the literal
    segments before the first parameter or special character of a Template or Regex.
    """
    replacement = value.rstrip("/")
    match path.kind:
        case PathKind.EXACT:
            message.prefix_rewrite = value or "/"
            return
        case PathKind.PREFIX:
            prefix = normalise_prefix(path.value)
            if prefix != "/" and replacement:
                message.prefix_rewrite = replacement
                return
        case PathKind.TEMPLATE | PathKind.REGEX:
            prefix = literal_prefix(path).rpartition("/")[0]
            if prefix and replacement:
                _set_regex_rewrite(
                    message, "^" + re.escape(prefix), _literal_substitution(replacement)
                )
                return
    start = re.escape(prefix.rstrip("/"))
    _set_regex_rewrite(message, f"^{start}/*", _literal_substitution(replacement) + "/")


def _set_regex_rewrite(
    message: route_v3.RouteAction | route_v3.RedirectAction, pattern: str, substitution: str
) -> None:
    message.regex_rewrite.pattern.regex = pattern
    message.regex_rewrite.substitution = substitution


def _literal_substitution(value: str) -> str:
    r"""``value`` with its backslashes doubled: RE2 reads ``\1`` as a captured group."""
    return value.replace("\\", "\\\\")
