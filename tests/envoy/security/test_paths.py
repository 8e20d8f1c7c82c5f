"""No spelling of a path leads past the route that protects it, and no rewrite opens a way up."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from support.client import answers_to
from support.security import World

pytestmark = pytest.mark.envoy

PROTECTED = {"keys", "tokens", "private"}
SPELLINGS = (
    "/keys",
    "/keys/",
    "//keys",
    "///keys//x",
    "/./keys",
    "/.//keys",
    "/open/../keys",
    "/open/./../keys",
    "/open/x/../../keys",
    "/open//../keys",
    "/../keys",
    "/../../../keys",
    "/%6beys",
    "/%6Beys",
    "/k%65%79s",
    "/open/%2e%2e/keys",
    "/open/%2E%2E/keys",
    "/open/.%2e/keys",
    "/open/%2e./keys",
    "/open/..%2fkeys",
    "/open/..%2Fkeys",
    "/open%2f..%2fkeys",
    "/open/%2e%2e%2fkeys",
    "/%2fkeys",
    "/open/..%5ckeys",
    "/open/..%5Ckeys",
    "/open/..\\keys",
    "\\keys",
    "/\\keys",
    "/open\\..\\keys",
    "/open/..;/keys",
    "/open/..;x=y/keys",
    "/open/.;/../keys",
    "/open;/../keys",
    "/open/..;%2fkeys",
    "/keys;x",
    "/keys;/x",
    "/keys%3bx",
    "/;/keys",
    "/keys%00",
    "/open%00/../keys",
    "/open/%00../keys",
    "/keys%20",
    "/keys%09",
    "/keys%0a",
    "/keys%0d%0a",
    "/keys%23",
    "/keys#x",
    "/open#/../keys",
    "/keys?x=/open",
    "/open?/../keys",
    "/open?%2f..%2fkeys",
    "/keys%3f",
    "/open/%252e%252e/keys",
    "/open/%252e%252e%252fkeys",
    "/open%252f..%252fkeys",
    "/open/%c0%ae%c0%ae/keys",
    "/open/%e0%80%ae%e0%80%ae/keys",
    "/open/%uff0e%uff0e/keys",
    "/open/%ff%fe/../keys",
    "/%",
    "/%2",
    "/%zz/../keys",
    "/open/%/../keys",
    "keys",
    "",
    "*",
    "http://x.example.com/keys",
    "http://x.example.com/open/../keys",
    "http://x.example.com//keys",
    "http:///keys",
)
"""What stands in the request line; none of it carries a credential."""


def understood(path: str) -> list[str]:
    """The segments as a forgiving upstream would read them, after one round of decoding.

    Parameters (``;x``) end dot segments, as servlet containers have it; elsewhere they are a part of the
    segment's name (RFC 3986 3.3): ``/keys;x`` is another resource than ``/keys``, to routes too.
    """
    path = unquote(path.partition("?")[0]).replace("\\", "/")
    kept: list[str] = []
    for segment in re.sub(r"(?<=/)(\.{1,2});[^/]*", r"\1", path).split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return kept


def ask(world: World, path: str) -> int:
    request = f"GET {path} HTTP/1.1\r\nhost: x.example.com\r\nconnection: close\r\n\r\n"
    (answer,) = answers_to(world.port, request.encode("latin-1"))
    return answer.status


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_leads_past_the_route_that_protects_a_path(world: World, spelling: str):
    status = ask(world, spelling)
    assert status in (200, 400, 401, 404), status
    assert world.private.requests == []
    for seen in world.public.requests:
        assert not PROTECTED.intersection(understood(seen.path)[:1]), seen.path


@pytest.mark.parametrize(
    "spelling",
    ["/keys", "//keys", "/open/../keys", "/%6beys", "/open/%2e%2e/keys", "/open/..;/keys",
     "/open/..\\keys", "http://x.example.com/keys"],
)  # fmt: skip
def test_a_protected_path_is_recognised_in_its_common_spellings(world: World, spelling: str):
    assert ask(world, spelling) == 401


@pytest.mark.parametrize(
    "spelling", ["%2f", "%2F", "%5c", "%5C", "%00", "..%2f", "%2e%2e%2f", "..%5c"]
)
@pytest.mark.parametrize("prefix", ["/open/", "/keys/", "/prefix/", "/regex/"])
def test_escaped_slashes_and_nul_are_refused_everywhere(world: World, prefix: str, spelling: str):
    assert ask(world, f"{prefix}{spelling}x") == 400
    assert world.seen() == []


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/prefix", "/"),
        ("/prefix/", "/"),
        ("/prefix//a", "/a"),
        ("/prefix/./a", "/a"),
        ("/prefix/a/../b", "/b"),
        ("/prefix//../open", "/open"),
        ("/prefix/..;/x", "/x"),
        ("/prefix/a//b?c=//..", "/a/b?c=//.."),
        ("/deeper/a", "/static/files/a"),
        ("/deeper/../open", "/open"),
        ("/deeper//etc", "/static/files/etc"),
        ("/deeper/%2e%2e/x", "/x"),
        ("/deeper/..;/x", "/x"),
        ("/regex/a/b", "/static/a/b"),
        ("/regex//etc/passwd", "/static/etc/passwd"),
        ("/regex/../x", "/x"),
        ("/regex/a/../../x", "/x"),
        ("/regex/x/%2e%2e/y", "/static/y"),
        ("/regex/..;/x", "/x"),
        ("/regex/?a=/../", "/static/?a=/../"),
    ],
)
def test_a_rewrite_works_on_the_path_that_was_matched(world: World, sent: str, seen: str):
    assert ask(world, sent) == 200
    (request,) = world.public.requests
    assert request.path == seen
    path = request.path.partition("?")[0]
    assert ".." not in path
    assert "//" not in path


@pytest.mark.parametrize("prefix", ["/prefix", "/deeper", "/regex"])
@pytest.mark.parametrize("spelling", [each for each in SPELLINGS if each.startswith("/open")])
def test_no_spelling_climbs_out_of_what_a_rewrite_leads_to(
    world: World, prefix: str, spelling: str
):
    status = ask(world, spelling.replace("/open", prefix, 1))
    assert status in (200, 400, 401, 404)
    for seen in world.public.requests:
        path = seen.path.partition("?")[0]
        climbed = re.search(r"(^|/)\.\.?(/|;|$)", unquote(path).replace("\\", "/"))
        assert climbed is None, seen.path
