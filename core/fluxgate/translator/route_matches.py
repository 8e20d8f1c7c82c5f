"""A Route's matches and rewrites as IR."""

from __future__ import annotations

import re

from fluxgate.api.v1alpha1.matching import CookieMatch, HeaderMatch, QueryParamMatch
from fluxgate.api.v1alpha1.matching import RouteMatch as RouteMatchSpec
from fluxgate.api.v1alpha1.route import PathRewrite
from fluxgate.ir import (
    CredentialClass,
    PathKind,
    PathMatch,
    PathRewriteIR,
    RewriteKind,
    RouteMatch,
    ValueKind,
    ValueMatch,
)

_COOKIE = r"(?:.*[;,]\s*)?{}={}(?:\s*[;,].*)?"
"""A ``cookie`` header with one cookie; HTTP/1.1 headers that occur twice are joined by a comma."""
_ANY_VALUE = "[^;,]*"


def build_match(match: RouteMatchSpec) -> RouteMatch:
    """The IR of a match: conditions sorted, so that equal matches are equal."""
    headers = {_header(each) for each in match.headers} if match.headers else set()
    if match.cookies:
        headers |= {_cookie(each) for each in match.cookies}
    return RouteMatch(
        path=PathMatch(PathKind(match.path.type), match.path.value),
        methods=tuple(sorted(set(match.methods))) if match.methods else (),
        headers=_sorted(headers) if headers else (),
        query=_sorted({_query(each) for each in match.query_params}) if match.query_params else (),
        credential=CredentialClass(match.credential) if match.credential else None,
    )


def build_path_rewrite(rewrite: PathRewrite) -> PathRewriteIR:
    """The IR of a change of the path."""
    return PathRewriteIR(RewriteKind(rewrite.type), rewrite.value, rewrite.pattern or "")


def _sorted(values: set[ValueMatch]) -> tuple[ValueMatch, ...]:
    return tuple(sorted(values, key=lambda each: (each.name, each.kind, each.value)))


def _header(match: HeaderMatch) -> ValueMatch:
    return ValueMatch(match.name.lower(), ValueKind(match.type), match.value)


def cookie_value(name: str, value: str = "") -> ValueMatch:
    """Requests with one cookie; any value of it when ``value`` is empty."""
    pattern = re.escape(value) if value else _ANY_VALUE
    return ValueMatch("cookie", ValueKind.REGEX, _COOKIE.format(re.escape(name), pattern))


def _cookie(match: CookieMatch) -> ValueMatch:
    """A condition on the header that holds all cookies (RFC 6265 section 4.2.1)."""
    name = re.escape(match.name)
    match ValueKind(match.type):
        case ValueKind.EXACT:
            pattern = _COOKIE.format(name, re.escape(match.value))
        case ValueKind.REGEX:
            pattern = _COOKIE.format(name, f"(?:{match.value})")
        case _:
            pattern = _COOKIE.format(name, _ANY_VALUE)
    return ValueMatch("cookie", ValueKind.REGEX, pattern)


def _query(match: QueryParamMatch) -> ValueMatch:
    return ValueMatch(match.name, ValueKind(match.type), match.value)
