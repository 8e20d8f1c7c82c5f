"""What a route matches, as ``envoy.config.route.v3.RouteMatch``.

Envoy joins all conditions of one RouteMatch by "and". A credential class is an "or" over
three headers, so a route for API keys becomes several Envoy routes with the same action.
"""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.type.matcher.v3 import regex_pb2 as regex_v3
from envoy.type.matcher.v3 import string_pb2 as string_v3

from fluxgate.ir import CredentialClass, HTTPRoute, PathKind, PathMatch, ValueKind, ValueMatch
from fluxgate.routing.path import normalise_prefix, template_regex
from fluxgate.routing.reference import BEARER_SCHEME, api_key_scheme
from fluxgate.xds import names


def build_matches(route: HTTPRoute, prefixes: tuple[str, ...]) -> list[route_v3.RouteMatch]:
    """The alternatives under which Envoy shall take ``route``; usually one.

    ``prefixes`` mark a bearer token as an API key. The alternatives may overlap.
    """
    base = _without_credential(route)
    match route.match.credential:
        case None:
            return [base]
        case CredentialClass.API_KEY:
            return _presents_api_key(base, prefixes, query=route.realtime)
        case CredentialClass.JWT:
            _presents_no_key(base, prefixes, query=route.realtime)
            base.headers.append(_authorization(BEARER_SCHEME))
            return [base]
        case CredentialClass.NONE:
            _presents_no_key(base, prefixes, query=route.realtime)
            base.headers.append(_authorization(BEARER_SCHEME, invert=True))
            return [base]


def _without_credential(route: HTTPRoute) -> route_v3.RouteMatch:
    message = route_v3.RouteMatch()
    _set_path(message, route.match.path)
    if methods := route.match.methods:
        kind = ValueKind.EXACT if len(methods) == 1 else ValueKind.REGEX
        message.headers.append(header_matcher(ValueMatch(":method", kind, "|".join(methods))))
    message.headers.extend(header_matcher(each) for each in route.match.headers)
    message.query_parameters.extend(query_matcher(each) for each in route.match.query)
    return message


def _set_path(message: route_v3.RouteMatch, path: PathMatch) -> None:
    match path.kind:
        case PathKind.EXACT:
            message.path = path.value
        case PathKind.PREFIX:
            prefix = normalise_prefix(path.value)
            if prefix == "/":
                message.prefix = prefix
            else:
                message.path_separated_prefix = prefix
        case PathKind.TEMPLATE:
            message.safe_regex.regex = template_regex(path.value)
        case PathKind.REGEX:
            message.safe_regex.regex = path.value


def header_matcher(wanted: ValueMatch) -> route_v3.HeaderMatcher:
    """``envoy.config.route.v3.HeaderMatcher`` of one condition."""
    message = route_v3.HeaderMatcher(name=wanted.name)
    _set_comparison(message, wanted)
    return message


def query_matcher(wanted: ValueMatch) -> route_v3.QueryParameterMatcher:
    """``envoy.config.route.v3.QueryParameterMatcher`` of one condition; values stay undecoded."""
    message = route_v3.QueryParameterMatcher(name=wanted.name)
    _set_comparison(message, wanted)
    return message


def _set_comparison(
    message: route_v3.HeaderMatcher | route_v3.QueryParameterMatcher, wanted: ValueMatch
) -> None:
    match wanted.kind:
        case ValueKind.PRESENT | ValueKind.ABSENT:
            message.present_match = wanted.kind is ValueKind.PRESENT
        case ValueKind.EXACT | ValueKind.REGEX:
            message.string_match.CopyFrom(_string_matcher(wanted))


def _string_matcher(wanted: ValueMatch) -> string_v3.StringMatcher:
    if wanted.kind is ValueKind.EXACT:
        return string_v3.StringMatcher(exact=wanted.value)
    return string_v3.StringMatcher(safe_regex=regex_v3.RegexMatcher(regex=wanted.value))


def _authorization(pattern: str, *, invert: bool = False) -> route_v3.HeaderMatcher:
    """A missing header counts as an empty one, or an inverted match would fail without it."""
    message = header_matcher(ValueMatch("authorization", ValueKind.REGEX, pattern))
    if invert:
        message.invert_match = True
        message.treat_missing_header_as_empty = True
    return message


def _presents_api_key(
    base: route_v3.RouteMatch, prefixes: tuple[str, ...], *, query: bool
) -> list[route_v3.RouteMatch]:
    conditions = [
        header_matcher(ValueMatch(name, ValueKind.PRESENT)) for name in names.CREDENTIAL_HEADERS
    ]
    conditions.append(_authorization(api_key_scheme(prefixes)))
    alternatives = []
    for condition in conditions:
        alternative = route_v3.RouteMatch()
        alternative.CopyFrom(base)
        alternative.headers.append(condition)
        alternatives.append(alternative)
    if query:
        parameter = ValueMatch(names.CREDENTIAL_QUERY_PARAMETER, ValueKind.PRESENT)
        base.query_parameters.append(query_matcher(parameter))
        alternatives.append(base)
    return alternatives


def _presents_no_key(
    message: route_v3.RouteMatch, prefixes: tuple[str, ...], *, query: bool
) -> None:
    """Add to ``message`` that the request presents no API key in any accepted place."""
    message.headers.extend(
        header_matcher(ValueMatch(name, ValueKind.ABSENT)) for name in names.CREDENTIAL_HEADERS
    )
    message.headers.append(_authorization(api_key_scheme(prefixes), invert=True))
    if query:
        parameter = ValueMatch(names.CREDENTIAL_QUERY_PARAMETER, ValueKind.ABSENT)
        message.query_parameters.append(query_matcher(parameter))
