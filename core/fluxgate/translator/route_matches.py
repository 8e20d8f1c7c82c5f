"""A Route's matches and rewrites as IR."""

from __future__ import annotations

from fluxgate.api.v1alpha1.route import HeaderMatch, PathRewrite, QueryParamMatch
from fluxgate.api.v1alpha1.route import RouteMatch as RouteMatchSpec
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


def build_match(match: RouteMatchSpec) -> RouteMatch:
    """The IR of a match: conditions sorted, so that equal matches are equal."""
    return RouteMatch(
        path=PathMatch(PathKind(match.path.type), match.path.value),
        methods=tuple(sorted(set(match.methods))) if match.methods else (),
        headers=_sorted({_header(each) for each in match.headers}) if match.headers else (),
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


def _query(match: QueryParamMatch) -> ValueMatch:
    return ValueMatch(match.name, ValueKind(match.type), match.value)
