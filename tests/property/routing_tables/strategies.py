"""Route tables and requests from a small alphabet, so that near misses are the rule."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from fluxgate.ir import (
    CredentialClass,
    DirectResponse,
    HTTPRoute,
    PathKind,
    PathMatch,
    RouteMatch,
    RouteTable,
    ValueKind,
    ValueMatch,
    VirtualHost,
)
from fluxgate.resources import ObjectRef
from fluxgate.routing.hosts import covers
from fluxgate.routing.normalise import normalise_path
from fluxgate.routing.precedence import route_sort_key
from fluxgate.routing.reference import Request

PREFIXES = ("flc_anon_", "flx_live_")
HOSTS = ("*", "*.example.com", "*.a.example.com", "a.example.com", "b.a.example.com")
SEGMENTS = ("a", "b", "ab", "A", "a.b", "a-1", "%20", "aab")
REGEX_PIECES = (
    *("a", "b", "/", "/a", "/b", "ab", "a+", "a*", "b?", "[ab]", "(a|b)", "(?:/a|/ab)?"),
    *(".*", ".", r"\.", r"\w+", "(?i:a)", "a{2}", "[^/]+", "/?", "(/b)*", "|/b"),
)
METHODS = ("GET", "HEAD", "POST", "OPTIONS", "DELETE")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it goes out: path not yet normalised, host perhaps with a port."""

    method: str
    host: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]

    @property
    def target(self) -> str:
        return f"{self.path}?{self.query}" if self.query is not None and self.query else self.path

    def seen(self) -> Request:
        """The request as routing sees it."""
        path = normalise_path(self.path)
        assert path is not None
        return Request(self.method, self.host, path, self.query, self.headers)


segments = st.sampled_from(SEGMENTS)
plain_paths = st.builds(
    lambda parts, slash: "/" + "/".join(parts) + ("/" if slash and parts else ""),
    st.lists(segments, max_size=4),
    st.sampled_from((False, False, False, True)),
)


@st.composite
def templates(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from((*SEGMENTS, "{}", "{}")), min_size=1, max_size=4))
    if draw(st.booleans()):
        parts.append("{rest=**}")
    named = (f"{{p{i}}}" if part == "{}" else part for i, part in enumerate(parts))
    return "/" + "/".join(named)


regexes = st.builds(
    lambda start, pieces: start + "".join(pieces),
    st.sampled_from(("/", "/a", "^/", "", "/a/", "/ab")),
    st.lists(st.sampled_from(REGEX_PIECES), max_size=4),
).filter(bool)

path_matches = st.one_of(
    st.builds(PathMatch, st.just(PathKind.EXACT), plain_paths),
    st.builds(PathMatch, st.just(PathKind.PREFIX), plain_paths),
    st.builds(PathMatch, st.just(PathKind.TEMPLATE), templates()),
    st.builds(PathMatch, st.just(PathKind.REGEX), regexes),
)


def value_matches(names: tuple[str, ...]) -> st.SearchStrategy[ValueMatch]:
    name = st.sampled_from(names)
    return st.one_of(
        st.builds(ValueMatch, name, st.just(ValueKind.EXACT), st.sampled_from(("1", "2", ""))),
        st.builds(
            ValueMatch, name, st.just(ValueKind.REGEX), st.sampled_from(("[12]", "1+", ".*"))
        ),
        st.builds(ValueMatch, name, st.sampled_from((ValueKind.PRESENT, ValueKind.ABSENT))),
    )


def mostly_empty(
    element: st.SearchStrategy[ValueMatch],
) -> st.SearchStrategy[tuple[ValueMatch, ...]]:
    some = st.lists(element, min_size=1, max_size=2, unique_by=lambda each: each.name)
    return st.one_of(st.just(()), st.just(()), some.map(tuple))


matches = st.builds(
    RouteMatch,
    path=path_matches,
    methods=st.one_of(
        st.just(()),
        st.just(()),
        st.lists(st.sampled_from(METHODS), min_size=1, max_size=3, unique=True).map(
            lambda names: tuple(sorted(names))
        ),
    ),
    headers=mostly_empty(value_matches(("x-a", "x-b"))),
    query=mostly_empty(value_matches(("q", "r"))),
    credential=st.sampled_from((None, None, None, *CredentialClass)),
)


@st.composite
def declared_routes(draw: st.DrawFn, max_routes: int = 16) -> list[tuple[str, HTTPRoute]]:
    """Routes with the hosts they are declared for."""
    found = draw(
        st.lists(
            st.tuples(
                st.sampled_from(("*", "*", *HOSTS)),
                matches,
                st.sampled_from((0, 0, 0, 1, -1)),
                st.booleans(),
                st.sampled_from(("", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")),
            ),
            min_size=1,
            max_size=max_routes,
        )
    )
    return [
        (host, make_route(str(index), match, priority=priority, realtime=live, created=created))
        for index, (host, match, priority, live, created) in enumerate(found)
    ]


def make_route(
    name: str, match: RouteMatch, *, priority: int = 0, realtime: bool = False, created: str = ""
) -> HTTPRoute:
    return HTTPRoute(
        name=f"route/default/r{name}/0",
        origin=ObjectRef("Route", "default", f"r{name}"),
        match=match,
        action=DirectResponse(200),
        priority=priority,
        realtime=realtime,
        created=created,
    )


def table_of(declared: list[tuple[str, HTTPRoute]]) -> RouteTable:
    """A table as the translator makes it: every host with all routes that cover it, in order."""
    hosts = sorted({host for host, _ in declared})
    return RouteTable(
        "table",
        tuple(
            VirtualHost(
                host,
                tuple(
                    route
                    for _, route in sorted(
                        (pair for pair in declared if covers(pair[0], host)),
                        key=lambda pair: route_sort_key(*pair),
                    )
                ),
            )
            for host in hosts
        ),
    )


queries = st.lists(
    st.sampled_from(("q=1", "q=2", "q", "q=", "r=1", "r=%31", "apikey=k", "Q=1", "x=/a/b", "")),
    max_size=3,
).map("&".join)
header_fields = st.lists(
    st.sampled_from(
        (
            *(("x-a", "1"), ("x-a", "2"), ("x-a", "11"), ("x-b", "1"), ("x-b", "")),
            *(("apikey", "k"), ("x-api-key", "k")),
            *(("authorization", "ApiKey k"), ("authorization", "bearer flx_live_k")),
            *(("authorization", "bEARER e.y.J"), ("authorization", "Basic x")),
            *(("authorization", "Bearer"), ("authorization", "Bearer flx_test_k")),
        )
    ),
    max_size=3,
).map(tuple)


@st.composite
def paths_near(draw: st.DrawFn, routes: tuple[HTTPRoute, ...]) -> str:
    """A path that some route takes, or only just not."""
    if draw(st.booleans()):
        base = draw(st.sampled_from(routes)).match.path
        text = base.value if base.kind is not PathKind.REGEX else draw(plain_paths)
        text = "/" + "/".join(
            draw(segments) if "{" in part else part for part in text.lstrip("/").split("/")
        )
    else:
        text = draw(plain_paths)
    return text + draw(
        st.sampled_from(("", "", "", "/", "a", "b", "/a", "/b", "/a/b", "/..", "//", "/./b", "%41"))
    )


def requests_for(declared: list[tuple[str, HTTPRoute]]) -> st.SearchStrategy[Sent]:
    return st.builds(
        Sent,
        method=st.sampled_from(METHODS),
        host=st.sampled_from(
            (
                *(
                    "x.example.org",
                    "example.com",
                    "c.example.com",
                    "A.example.com",
                    "a.example.com",
                ),
                *("a.example.com:8080", "b.a.example.com", "c.a.example.com", "z.b.a.example.com"),
            )
        ),
        path=paths_near(tuple(route for _, route in declared)),
        query=queries,
        headers=header_fields,
    )
