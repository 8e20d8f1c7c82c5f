"""The reference matcher: what Envoy does with a request, in a few lines of Python.

Envoy's route table in every encoding must agree with this module; the property
tests compare them on random tables. ``explain`` is built on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate.ir import (
    CredentialClass,
    HTTPRoute,
    PathKind,
    PathMatch,
    RouteTable,
    ValueKind,
    ValueMatch,
    VirtualHost,
)
from fluxgate.regex import full_match
from fluxgate.routing.hosts import covers, normalise_host, specificity
from fluxgate.routing.path import prefix_matches, template_regex
from fluxgate.xds import names

JOINED_HEADERS = frozenset(
    (
        *("accept", "accept-encoding", "access-control-request-headers"),
        *("access-control-request-method", "access-control-request-private-network"),
        *("authentication", "authorization", "cache-control", "content-encoding", "content-type"),
        *("expect", "grpc-accept-encoding", "grpc-timeout", "if-match", "if-modified-since"),
        *("if-none-match", "if-range", "if-unmodified-since", "origin", "pragma", "proxy-status"),
        *("referer", "user-agent", "via", "x-client-trace-id", "x-envoy-decorator-operation"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"),
    )
)
"""Headers of which Envoy 1.40 keeps one value: fields of the same name are joined by a comma."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as far as routing looks at it.

    ``path`` is normalised (:func:`fluxgate.routing.normalise.normalise_path`),
    ``query`` is raw and without its ``?``, header names are in lower case.
    """

    method: str
    host: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> tuple[str, ...]:
        """Every value of a header; those Envoy joins while reading it come as one."""
        if name in (":authority", "host"):
            return (self.host,)
        if name == ":method":
            return (self.method,)
        values = tuple(value for field, value in self.headers if field == name)
        return (",".join(values),) if values and name in JOINED_HEADERS else values

    def parameter(self, name: str) -> tuple[str, ...]:
        """The first value of a query parameter, not decoded; Envoy looks at no other."""
        pairs = (pair.partition("=") for pair in self.query.split("&") if pair)
        return tuple(value for key, _, value in pairs if key == name)[:1]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first condition of a route that a request does not meet.

    ``condition`` is one of ``path``, ``method``, ``header``, ``query``, ``credential``;
    ``name`` is that of the header or query parameter.
    """

    condition: str
    name: str = ""


def select_virtual_host(table: RouteTable, host: str) -> VirtualHost | None:
    """The most specific virtual host that covers ``host`` (an ``:authority``, port allowed)."""
    wanted = normalise_host(host)
    candidates = [each for each in table.virtual_hosts if covers(each.host, wanted)]
    return max(candidates, key=lambda each: specificity(each.host), default=None)


def match(
    routes: Iterable[HTTPRoute], request: Request, prefixes: tuple[str, ...] = ()
) -> HTTPRoute | None:
    """The first of ``routes`` that takes ``request``; ``prefixes`` are those of API keys."""
    return next((each for each in routes if mismatch(each, request, prefixes) is None), None)


def mismatch(route: HTTPRoute, request: Request, prefixes: tuple[str, ...] = ()) -> Mismatch | None:
    """Why ``route`` does not take ``request``: the first condition that fails, or None.

    Raises ``ValueError`` for something that is no regular expression.
    """
    wanted = route.match
    if not path_matches(wanted.path, request.path):
        return Mismatch("path")
    if wanted.methods and request.method not in wanted.methods:
        return Mismatch("method")
    for header in wanted.headers:
        if not value_matches(header, request.header(header.name)):
            return Mismatch("header", header.name)
    for parameter in wanted.query:
        if not value_matches(parameter, request.parameter(parameter.name)):
            return Mismatch("query", parameter.name)
    if wanted.credential is not None:
        presented = credential_class(request, prefixes, query=route.realtime)
        if presented is not wanted.credential:
            return Mismatch("credential")
    return None


def path_matches(wanted: PathMatch, path: str) -> bool:
    """Whether the normalised ``path`` meets ``wanted``."""
    match wanted.kind:
        case PathKind.EXACT:
            return path == wanted.value
        case PathKind.PREFIX:
            return prefix_matches(wanted.value, path)
        case PathKind.TEMPLATE:
            return full_match(template_regex(wanted.value), path)
        case PathKind.REGEX:
            return full_match(wanted.value, path)


def value_matches(wanted: ValueMatch, values: tuple[str, ...]) -> bool:
    """Whether any of the ``values`` of a header or query parameter meets ``wanted``.

    A header sent several times is compared value by value, as Envoy does since 1.39.
    """
    match wanted.kind:
        case ValueKind.ABSENT:
            return not values
        case ValueKind.PRESENT:
            return bool(values)
        case ValueKind.EXACT:
            return wanted.value in values
        case ValueKind.REGEX:
            return any(full_match(wanted.value, value) for value in values)


def api_key_scheme(prefixes: tuple[str, ...]) -> str:
    """RE2 expression for an ``authorization`` that holds an API key."""
    bearer = "|".join(re.escape(prefix) for prefix in sorted(prefixes))
    keyed = f"|(?i:bearer) +(?:{bearer}).*" if bearer else ""
    return f"(?i:apikey) +.+{keyed}"


BEARER_SCHEME = "(?i:bearer) +.+"
"""RE2 expression for an ``authorization`` that holds a bearer token of any kind."""


def credential_class(
    request: Request, prefixes: tuple[str, ...], *, query: bool = False
) -> CredentialClass:
    """What ``request`` presents, before anything is verified.

    An API key is a header ``apikey`` or ``x-api-key``, ``Authorization: ApiKey …``, or
    ``Authorization: Bearer`` with one of the known ``prefixes``; with ``query`` (realtime
    routes) also the parameter ``apikey``. Any other bearer token is a JWT.
    """
    authorization = request.header("authorization")
    if (
        any(map(request.header, names.CREDENTIAL_HEADERS))
        or any(full_match(api_key_scheme(prefixes), value) for value in authorization)
        or (query and request.parameter(names.CREDENTIAL_QUERY_PARAMETER))
    ):
        return CredentialClass.API_KEY
    if any(full_match(BEARER_SCHEME, value) for value in authorization):
        return CredentialClass.JWT
    return CredentialClass.NONE
