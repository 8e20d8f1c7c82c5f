"""Which route a request would take, and why every earlier one did not. No traffic needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from fluxgate.ir import CredentialClass, HTTPRoute, PathMatch, RouteTable
from fluxgate.resources import ObjectRef
from fluxgate.routing.hosts import ANY, normalise_host
from fluxgate.routing.normalise import normalise_path
from fluxgate.routing.reference import Request, credential_class, mismatch, select_virtual_host


class _Presented(NamedTuple):
    credential: CredentialClass
    realtime_credential: CredentialClass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A route that was tried before the one taken, and the first condition that failed.

    ``condition`` is ``path``, ``method``, ``header``, ``query`` or ``credential``, or
    ``unknown`` when the expression cannot be evaluated here; ``reason`` is for people.
    """

    route: str
    origin: ObjectRef
    condition: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The way of one request through a route table.

    ``route`` and ``origin`` are empty when nothing matches; ``reason`` then says why.
    ``path`` is the normalised one, ``virtual_host`` the pattern that was chosen.
    """

    method: str
    host: str
    path: str
    query: str
    credential: str
    virtual_host: str
    virtual_host_reason: str
    route: str
    origin: ObjectRef | None
    reason: str
    tried: tuple[Candidate, ...]


def request_of(method: str, url: str, headers: tuple[tuple[str, str], ...] = ()) -> Request:
    """A request from what a person types: a method, an absolute URL, and header fields.

    The path stays as typed; :func:`explain` normalises it. A ``host`` header overrides the
    URL's. Raises ``ValueError`` when there is no host or the URL cannot be read.
    """
    parts = urlsplit(url)
    fields = tuple((name.lower(), value.strip()) for name, value in headers)
    host = next((value for name, value in fields if name == "host"), parts.netloc)
    host = host.rpartition("@")[2]
    if not host:
        raise ValueError(f"{url!r} names no host; write for example http://api.example.com/orders")
    rest = tuple(field for field in fields if field[0] != "host")
    return Request(method.upper(), host, parts.path or "/", parts.query, rest)


def explain(table: RouteTable, request: Request, prefixes: tuple[str, ...] = ()) -> Explanation:
    """Follow ``request`` (its path as sent) through ``table``; pure, and as Envoy would."""
    path = normalise_path(request.path)
    virtual_host = select_virtual_host(table, request.host)
    if path is None:
        return _explanation(
            request,
            reason="the listener answers 400: the path holds an escaped slash, a NUL, a fragment "
            "or a character that is not printable ASCII",
        )
    asked = Request(
        request.method, normalise_host(request.host), path, request.query, request.headers
    )
    if virtual_host is None:
        return _explanation(asked, reason=f"no route is declared for the host {asked.host!r} (404)")
    presented = _Presented(
        credential_class(asked, prefixes), credential_class(asked, prefixes, query=True)
    )
    tried: list[Candidate] = []
    for route in virtual_host.routes:
        candidate = _try(route, asked, prefixes, presented)
        if candidate is None:
            return _explanation(
                asked,
                reason="the first route in order whose conditions all hold",
                virtual_host=virtual_host.host,
                presented=presented,
                route=route,
                tried=tuple(tried),
            )
        tried.append(candidate)
    return _explanation(
        asked,
        reason=_nothing_matched(tried),
        virtual_host=virtual_host.host,
        presented=presented,
        tried=tuple(tried),
    )


def _try(
    route: HTTPRoute, request: Request, prefixes: tuple[str, ...], presented: _Presented
) -> Candidate | None:
    try:
        found = mismatch(route, request, prefixes)
    except ValueError as error:
        return Candidate(route.name, route.origin, "unknown", "", str(error))
    if found is None:
        return None
    match found.condition:
        case "path":
            reason = f"path is not {_spell(route.match.path)}"
        case "method":
            reason = f"method is not {' or '.join(route.match.methods)}"
        case "credential":
            shown = presented.realtime_credential if route.realtime else presented.credential
            reason = f"wants credential {route.match.credential}, the request presents {shown}"
        case condition:
            conditions = route.match.headers if condition == "header" else route.match.query
            wanted = next(each for each in conditions if each.name == found.name)
            value = f" {wanted.value!r}" if wanted.value else ""
            reason = f"{condition} {found.name} is not {wanted.kind}{value}"
    return Candidate(route.name, route.origin, found.condition, found.name, reason)


def _spell(path: PathMatch) -> str:
    return f"{path.kind} {path.value}"


def _nothing_matched(tried: list[Candidate]) -> str:
    near = [each for each in tried if each.condition != "path"]
    if not near:
        return "no route of this host matches the path (404)"
    return (
        f"the path matches {len(near)} route(s), but no other condition holds (404): "
        + "; ".join(f"{each.route}: {each.reason}" for each in near[:3])
    )


def _virtual_host_reason(pattern: str) -> str:
    if pattern == ANY:
        return "no more specific host covers the request's"
    if pattern.startswith("*."):
        return "the longest wildcard that covers the request's host"
    return "the request's host itself"


def _explanation(
    request: Request,
    *,
    reason: str,
    virtual_host: str = "",
    presented: _Presented | None = None,
    route: HTTPRoute | None = None,
    tried: tuple[Candidate, ...] = (),
) -> Explanation:
    credential = ""
    if presented is not None:
        realtime = route is not None and route.realtime
        credential = presented.realtime_credential if realtime else presented.credential
    return Explanation(
        method=request.method,
        host=request.host,
        path=request.path,
        query=request.query,
        credential=str(credential),
        virtual_host=virtual_host,
        virtual_host_reason=_virtual_host_reason(virtual_host) if virtual_host else "",
        route=route.name if route else "",
        origin=route.origin if route else None,
        reason=reason,
        tried=tried,
    )
