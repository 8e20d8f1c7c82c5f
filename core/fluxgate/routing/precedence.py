"""The one order in which routes are tried."""

from __future__ import annotations

from typing import Any

from fluxgate.ir import HTTPRoute, PathKind, PathMatch
from fluxgate.routing.hosts import specificity
from fluxgate.routing.path import literal_prefix, normalise_prefix, parse_template

_KIND_RANK = {
    PathKind.EXACT: 0,
    PathKind.TEMPLATE: 1,
    PathKind.REGEX: 2,
    PathKind.PREFIX: 3,
}
_END_OF_TEMPLATE = 3
_ANY_METHOD = 1_000
_NEVER = "\U0010ffff"
_SIBLING = "/preflight"


def route_sort_key(host: str, route: HTTPRoute) -> tuple[Any, ...]:
    """Sort key of ``route`` where it was declared for ``host``; the smallest is tried first.

    The order is total and does not depend on the order of the input. The first
    difference decides:

    1. ``priority``: the higher first.
    2. Host: exact, then wildcards by the longer suffix, then ``*``.
    3. Kind of path: Exact, Template, Regex, Prefix.
    4. Within one kind: a Template's segments from the left, literal before
       ``{name}`` before ``{name=**}``, then the template with more segments; a Regex by
       the longer literal beginning, then by the longer pattern; a Prefix by its length,
       the longest first.
    5. Routes that name methods before routes for any method; fewer methods first.
    6. More header conditions first, then more query conditions.
    7. Routes for one credential class before routes for any.
    8. The older object first; one without a creation time last.
    9. Namespace, name and match number of the object, as spelled in the route's name.

    What the rules compare is never the text of a pattern, only its shape: ``/a/{x}`` and
    ``/a/{y}`` take the same paths, so their methods and headers decide. A preflight sibling
    (``<route>/preflight``) has its parent's path and priority and names the one method
    OPTIONS, so rule 5 puts it right before a parent for any method; rule 9 settles a full
    tie the same way.
    """
    match = route.match
    rank, length = specificity(host)
    return (
        -route.priority,
        -rank,
        -length,
        _KIND_RANK[match.path.kind],
        _path_key(match.path),
        len(match.methods) or _ANY_METHOD,
        -len(match.headers),
        -len(match.query),
        match.credential is None,
        route.created or _NEVER,
        *_name_key(route.name),
        route.name,
    )


def _path_key(path: PathMatch) -> tuple[Any, ...]:
    match path.kind:
        case PathKind.EXACT:
            return ()
        case PathKind.TEMPLATE:
            kinds = tuple(int(each.kind) for each in parse_template(path.value))
            return (*kinds, _END_OF_TEMPLATE)
        case PathKind.REGEX:
            return (-len(literal_prefix(path)), -len(path.value))
        case PathKind.PREFIX:
            return (-len(normalise_prefix(path.value)),)


def _name_key(name: str) -> tuple[str, bool]:
    r"""``route/<namespace>/<name>/<match>[/preflight]``, with numbers compared as numbers.

    Flat, because ten thousand of these are kept: every number is preceded by its length, and
    \0 and \1 sort numbers before text and the shorter of two names first.
    """
    is_sibling = name.endswith(_SIBLING)
    parts = (name[: -len(_SIBLING)] if is_sibling else name).split("/")
    spelled = [f"\0{chr(len(part))}{part}" if part.isdecimal() else f"\1{part}" for part in parts]
    return "\0".join(spelled), not is_sibling
