"""A path is refused exactly when no request can have it once the listener has normalised it."""

from __future__ import annotations

import itertools
import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fluxgate.api.v1alpha1.matching import PathMatch
from fluxgate.routing.normalise import normalise_path
from fluxgate.routing.path import normalise_prefix

PIECES = (
    *("/", "//", "a", "A", "0", ".", "..", ";", ":", "@", "é", "\\", " ", "|", "^", "`", '"', "<"),
    *("%41", "%2f", "%5C", "%00", "%7e", "%2E", "%zz", "%", "%c3%A9", "~", "*", "'", "[", "]", "="),
    *("?", "#", "{", "}"),
)
PATHS = st.lists(st.sampled_from(PIECES), max_size=6).map(lambda pieces: "/" + "".join(pieces))
PARAMETERS = st.sampled_from(("{x}", "{y=*}", "a", "", "..", "%41", "a b"))
TEMPLATES = st.builds(
    lambda segments, rest: "/" + "/".join([*dict.fromkeys(segments), *rest]),
    st.lists(PARAMETERS, max_size=4),
    st.sampled_from(((), ("",), ("", ""), ("{z=**}",))),
)


def is_taken(kind: Literal["Exact", "Prefix", "Template"], value: str) -> bool:
    try:
        PathMatch(type=kind, value=value)
    except ValidationError:
        return False
    return True


def is_normal(path: str) -> bool:
    """Whether a request's path can be this one when it is compared."""
    return not set("?#{}") & set(path) and normalise_path(path) == path


@pytest.mark.parametrize("count", [1, 2])
def test_every_short_path_that_some_request_has_is_taken_and_no_other(count: int) -> None:
    for pieces in itertools.product(PIECES, repeat=count):
        path = "/" + "".join(pieces)
        assert is_taken("Exact", path) == is_normal(path), path
        assert is_taken("Prefix", path) == is_normal(normalise_prefix(path)), path


@given(PATHS)
def test_every_path_that_some_request_has_is_taken_and_no_other(path: str) -> None:
    assert is_taken("Exact", path) == is_normal(path)
    assert is_taken("Prefix", path) == is_normal(normalise_prefix(path))


@given(TEMPLATES)
def test_every_template_that_some_request_fits_is_taken_and_no_other(template: str) -> None:
    one = re.sub(r"\{[xy](=\*)?\}", "s", template)
    instances = (one.replace("{z=**}", ""), one.replace("{z=**}", "s"))
    assert is_taken("Template", template) == any(map(is_normal, instances))
