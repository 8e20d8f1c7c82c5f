"""Bodies are read strictly: what RFC 8259 leaves open or forbids is refused in words, and never fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxgate_admin.http.json_body import Malformed, read_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda each: not each.is_integer())
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(VALUES)
def test_what_json_says_is_what_is_read(value: Any) -> None:
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"name": "a", "name": "b"}', "/name"),
        ('{"match": {"path": "/a", "methods": [], "path": "/b"}}', "/match/path"),
        ('{"match": [{"path": "/a"}, {"path": "/b", "path": "/b"}]}', "/match/1/path"),
        ('{"labels": {"a/b": "1", "a/b": "2"}}', "/labels/a~1b"),
        ('{"a": {"b": 1, "b": 2}, "a": 3}', "/a"),
        ('{"\\u0061": 1, "a": 2}', "/a"),
    ],
)
def test_a_key_that_is_there_twice_is_named_with_its_place(text: str, place: str) -> None:
    found = read_json(text.encode())
    assert isinstance(found, Malformed)
    assert found.pointer == place
    assert found.why == f"{place}: the key is there more than once; say which value is meant"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1e400", "the number 1e400 is larger than any that can be kept"),
        ("-1e400", "the number -1e400 is larger"),
        ("9" * 400 + ".5", "is larger than any that can be kept"),
        ("9" * 6000, "number out of range"),
        ("NaN", "expected value at line 1 column 1"),
        ('{"a":\n -Infinity}', "at line 2 column"),
        ('"\\ud800"', "only in pairs"),
        ('"\\udc00\\ud800"', "only in pairs"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": 1,}', "trailing comma"),
        ("", "EOF"),
        ('{"a": 1} {}', "trailing characters"),
    ],
)
def test_what_is_no_json_is_refused_in_words(text: str, words: str) -> None:
    found = read_json(text.encode())
    assert isinstance(found, Malformed)
    assert not found.pointer
    assert words in found.why


@pytest.mark.parametrize("data", [b'"\xff"', b'"\xed\xa0\x80"', b"\xff\xfe{\x00}\x00"])
def test_what_is_not_utf_8_is_refused(data: bytes) -> None:
    assert isinstance(read_json(data), Malformed)


def test_an_integer_may_be_written_with_a_fraction() -> None:
    found = read_json(b'{"a": 5.0, "b": [2e3, 0.5], "c": 1e300}')
    assert found == {"a": 5, "b": [2000, 0.5], "c": 1e300}
    assert [type(each) for each in (found["a"], *found["b"], found["c"])] == [
        int,
        int,
        float,
        float,
    ]


@given(st.binary(max_size=60))
def test_no_bytes_keep_a_body_from_being_answered(data: bytes) -> None:
    read_json(data)
