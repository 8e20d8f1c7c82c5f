"""Path patterns, their literal beginnings, and the listener's normalisation."""

from __future__ import annotations

import re

import pytest

from fluxgate.ir import PathKind, PathMatch
from fluxgate.routing.normalise import normalise_path
from fluxgate.routing.path import (
    literal_prefix,
    may_match_below,
    parse_template,
    prefix_matches,
    template_regex,
)


@pytest.mark.parametrize("path", ["/a", "/a/", "/a/b"])
@pytest.mark.parametrize("prefix", ["/a", "/a/"])
def test_a_prefix_takes_whole_segments_and_a_slash_at_its_end_means_nothing(
    prefix: str, path: str
) -> None:
    assert prefix_matches(prefix, path)


@pytest.mark.parametrize("path", ["/ab", "/", "/b/a"])
def test_a_prefix_takes_nothing_else(path: str) -> None:
    assert not prefix_matches("/a", path)


def test_the_root_prefix_takes_every_path_but_not_an_asterisk() -> None:
    assert prefix_matches("/", "/any/thing")
    assert not prefix_matches("/", "*")


@pytest.mark.parametrize(
    ("template", "path", "taken"),
    [
        ("/users/{id}", "/users/1", True),
        ("/users/{id}", "/users/", False),
        ("/users/{id}", "/users/1/", False),
        ("/users/{id}", "/users/1/x", False),
        ("/users/{id=*}/x", "/users/1/x", True),
        ("/files/{path=**}", "/files/", True),
        ("/files/{path=**}", "/files/a/b", True),
        ("/files/{path=**}", "/files", False),
        ("/a.b/{x}", "/a-b/1", False),
    ],
)
def test_a_template_takes(template: str, path: str, taken: bool) -> None:
    assert bool(re.fullmatch(template_regex(template), path)) is taken


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("users/{id}", "must start with /"),
        ("/{rest=**}/x", "only possible at the end"),
        ("/{a}/{a}", "names the parameter 'a' twice"),
        ("/x{a}", "not a parameter"),
        ("/{a", "not a parameter"),
        ("/{}", "not a parameter"),
    ],
)
def test_a_malformed_template_says_what_is_wrong(template: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        parse_template(template)


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("/a/b", "/a/b"),
        ("^/a/.*", "/a/"),
        ("/ab*", "/a"),
        ("/ab?c", "/a"),
        ("/ab{0,2}", "/a"),
        ("/ab+", "/ab"),
        (r"/a\.b*", "/a."),
        (r"/a\.b", "/a.b"),
        (r"/a\d", "/a"),
        ("/api/(v1|v2)/x", "/api/"),
        ("/a|/b", ""),
        ("/a[|]b", ""),
        ("(?i)/a", ""),
        (r"/a\?b", "/a"),
    ],
)
def test_the_literal_beginning_of_a_regex_is_what_every_match_begins_with(
    pattern: str, literal: str
) -> None:
    assert literal_prefix(PathMatch(PathKind.REGEX, pattern)) == literal


@pytest.mark.parametrize(
    ("kind", "value", "start", "possible"),
    [
        (PathKind.EXACT, "/a", "/a/b", False),
        (PathKind.PREFIX, "/a", "/a/b", True),
        (PathKind.PREFIX, "/a", "/ab", False),
        (PathKind.PREFIX, "/", "/ab", True),
        (PathKind.TEMPLATE, "/u/{id}/x", "/u/1/x", True),
        (PathKind.TEMPLATE, "/u/{id}/x", "/u/1/y", False),
        (PathKind.TEMPLATE, "/u/{id}", "/u/1/", False),
        (PathKind.TEMPLATE, "/u/{r=**}", "/u/1/2/3", True),
        (PathKind.REGEX, "/a.*", "/ab", True),
    ],
)
def test_a_match_is_known_to_be_impossible_below_another_path(
    kind: PathKind, value: str, start: str, possible: bool
) -> None:
    match = PathMatch(kind, value)
    assert may_match_below(match, literal_prefix(match), start) is possible


NORMALISED = [
    ("/", "/"),
    ("//", "//"),
    ("///", "//"),
    ("/a//b", "/a/b"),
    ("/a/./b", "/a/b"),
    ("/a/../b", "/b"),
    ("/a/..", "/"),
    ("/a/.", "/a/"),
    ("/a/%2e%2E/b", "/b"),
    ("/../..", "/"),
    ("/a/..;x/b", "/b"),
    ("/a/..%3b/b", "/a/..%3b/b"),
    ("/a//../b", "/a/b"),
    ("/a\\b", "/a/b"),
    ("/%41%7e", "/A~"),
    ("/%c3%a9", "/%c3%a9"),
    ("/a%zz", "/a%zz"),
    ("/a/%252e", "/a/%252e"),
    ("/<{|}>", "/%3C%7B%7C%7D%3E"),
    ("/a%2fb", None),
    ("/a%5Cb", None),
    ("/a%00b", None),
    ("/a#b", None),
    ("*", None),
]


@pytest.mark.parametrize(("path", "normalised"), NORMALISED)
def test_a_path_is_normalised_as_envoy_does(path: str, normalised: str | None) -> None:
    assert normalise_path(path) == normalised
