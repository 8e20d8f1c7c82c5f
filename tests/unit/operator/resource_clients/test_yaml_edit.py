"""One document of a hand-written file with another content: nothing else of it changes."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from fluxgate_operator.documents import read_yaml
from fluxgate_operator.resource_clients.yaml_edit import edited, rendered

WRITTEN = """\
---   # the shop
apiVersion:   gateway.fluxgate.io/v1alpha1   # aligned
kind: Route
metadata:
    name: orders     # indented by four
    labels: { team: "shop",  tier:  gold }

# what is matched
spec:
  # hosts first
  hosts:
  - shop.example.com   # main
  - "www.example.com"

  enabled: yes
  matches:
    - path: {type: Prefix, value: /orders}   # prefix
      # methods come here
      methods: [GET,
                POST]
  description: >-
    folded
    text
  # the backends
  backends:
  - url: http://a.example.com
    weight: 90
  # canary
  - url: http://b.example.com
    weight: 10

  # how long
  timeouts:
    request: 5s

# the end
"""

Change = Callable[[dict[str, Any]], object]


def content_of(text: str) -> dict[str, Any]:
    (document,) = read_yaml(text)
    return document.content


def changed(text: str, change: Change) -> str:
    current = content_of(text)
    wanted = copy.deepcopy(current)
    change(wanted)
    result = edited(text, current, wanted)
    assert content_of(result) == wanted
    return result


def lines_of(text: str, change: Change) -> list[str]:
    """What ``diff`` says of the change: lines that went, and lines that came."""
    diff = difflib.unified_diff(text.splitlines(), changed(text, change).splitlines(), n=0)
    return [f"{line[0]} {line[1:]}" for line in diff if line[0] in "+-"][2:]


BACKEND = {"url": "http://c.example.com", "weight": 1}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        pytest.param(
            lambda w: w["spec"]["timeouts"].update(request="10s"),
            ["-     request: 5s", "+     request: 10s"],
            id="a value",
        ),
        pytest.param(
            lambda w: w["spec"]["timeouts"].update(idle="1h"),
            ["+     idle: 1h"],
            id="a new key goes above the comment that leads on",
        ),
        pytest.param(
            lambda w: w["spec"].pop("timeouts"),
            ["-   timeouts:", "-     request: 5s"],
            id="a key that goes leaves the comments around it",
        ),
        pytest.param(
            lambda w: w["spec"].pop("description"),
            ["-   description: >-", "-     folded", "-     text"],
            id="a block scalar goes",
        ),
        pytest.param(
            lambda w: w["spec"].pop("hosts"),
            ["-   hosts:", "-   - shop.example.com   # main", '-   - "www.example.com"'],
            id="a list goes with the comments inside",
        ),
        pytest.param(
            lambda w: w["spec"]["backends"].pop(0),
            ["-   - url: http://a.example.com", "-     weight: 90"],
            id="an item goes",
        ),
        pytest.param(
            lambda w: w["spec"]["backends"].append(BACKEND),
            ["+   - url: http://c.example.com", "+     weight: 1"],
            id="an item comes last",
        ),
        pytest.param(
            lambda w: w["spec"]["backends"].insert(1, BACKEND),
            ["+   - url: http://c.example.com", "+     weight: 1"],
            id="an item comes in between",
        ),
        pytest.param(
            lambda w: w["spec"].update(enabled=False),
            ["-   enabled: yes", "+   enabled: false"],
            id="yes is a boolean",
        ),
        pytest.param(
            lambda w: w["spec"]["hosts"].__setitem__(1, "api.example.com"),
            ['-   - "www.example.com"', '+   - "api.example.com"'],
            id="quotes stay",
        ),
        pytest.param(
            lambda w: w["metadata"]["labels"].update(on="y"),
            [
                '-     labels: { team: "shop",  tier:  gold }',
                '+     labels: {team: "shop", tier: gold, "on": "y"}',
            ],
            id="words that others read as booleans are quoted",
        ),
        pytest.param(
            lambda w: w["spec"]["matches"][0]["methods"].append("PUT"),
            [
                "-       methods: [GET,",
                "-                 POST]",
                "+       methods: [GET, POST, PUT]",
            ],
            id="a flow list over two lines",
        ),
        pytest.param(
            lambda w: w["metadata"].update(annotations={"a": "one\ntwo\n"}),
            ["+     annotations:", "+       a: |", "+         one", "+         two"],
            id="new lines follow the indentation that is there",
        ),
        pytest.param(
            lambda w: w["metadata"].update(name="invoices"),
            [
                "-     name: orders     # indented by four",
                "+     name: invoices     # indented by four",
            ],
            id="the comment behind a value stays",
        ),
    ],
)
def test_only_the_lines_that_say_something_else_change(change: Change, lines: list[str]):
    assert lines_of(WRITTEN, change) == lines


def test_an_equal_content_gives_the_very_text():
    current = content_of(WRITTEN)
    assert edited(WRITTEN, current, copy.deepcopy(current)) is WRITTEN


def test_windows_line_ends_stay():
    text = WRITTEN.replace("\n", "\r\n")
    result = changed(text, lambda w: w["spec"]["timeouts"].update(request="10s", idle="1h"))
    assert "\n" not in result.replace("\r\n", "")
    assert "    request: 10s\r\n    idle: 1h\r\n" in result


def test_a_file_without_an_end_of_line_gets_none_in_the_middle():
    assert changed("a: 1\nb: 2", lambda w: w.update(c=3)) == "a: 1\nb: 2\nc: 3\n"
    assert changed("a: 1\nb: 2", lambda w: w.pop("a")) == "b: 2"


SHARED = """\
# one pool for both
kind: Route
primary: &pool   # the anchor
  url: http://a.example.com
  weight: 1
fallback: *pool
"""


def test_a_change_of_one_alias_does_not_show_at_the_other():
    result = changed(SHARED, lambda w: w["fallback"].update(weight=2))
    assert content_of(result)["primary"]["weight"] == 1
    assert result.startswith("# one pool for both\n")
    assert "# the anchor\n" in result


def test_a_text_that_would_say_something_else_is_not_taken():
    """ruamel.yaml rounds this number when it writes it."""
    text = "# a\nx:\n- y: 1\n  z: 2.225073858507e-311\n# b\nw: 1"
    result = changed(text, lambda w: (w["x"][0].pop("y"), w.pop("w")))
    assert content_of(result) == {"x": [{"z": 2.225073858507e-311}]}
    assert {"# a", "# b"} <= set(result.splitlines())


def test_no_comment_is_lost_when_hardly_anything_stays():
    text = "alpha: []\n# comment\nbeta:\ngamma: |\n  l\n  m\ndelta: []"
    assert "# comment\n" in changed(text, lambda w: (w.clear(), w.update(delta="l\nm\n")))


def test_a_merge_key_is_written_out_where_it_has_to_be():
    text = "base: &base {a: 1, b: 2}\nuser:\n  <<: *base\n  c: 3\n# last\nz: 1\n"
    result = changed(text, lambda w: w["user"].pop("a"))
    assert result == "base: {a: 1, b: 2}\nuser:\n  b: 2\n  c: 3\n# last\nz: 1\n"


@pytest.mark.parametrize(
    "value",
    [
        "on", "y", "No", "1e3", "1_000", "0777", "0o7", "1:30", "2024-01-02", "~", "null", "", " x ", "=",
        "<<", "- a", "a: b", "#no", "a #b", "'", '"', "\\", "a\nb", "a\n", "\n", "\na", "a\n\n", "a \nb",
        "a\tb", "\ta\nb", "é", "\u2028", "\ufeffx", "\x07", "😀", "%x", "@x", "`x", "*a", "&a", "!a", "|", ">",
        "{a}", "[a]", "---", "...", "--- a\nb", "x" * 300, "a b " * 100, 1, 1.0, 1e22, 1e-7, True, None, [],
        {}, [[]], [{}], {"": ""}, {"on": 1}, {"1": 1}, {"a b": [1, [2, {"c": None}]]}, 2**63 - 1, -1,
    ],
)  # fmt: skip
def test_every_value_comes_back_as_it_was(value: object):
    for wanted in ({"a": value}, {"a": [value, value]}, {"a": {"b": value, "c": 1}}):
        assert content_of(rendered(wanted)) == wanted
        text = "# first\na: 1   # was one\n# second\nb: 2\n"
        assert content_of(edited(text, {"a": 1, "b": 2}, {**wanted, "b": 2})) == {**wanted, "b": 2}
        assert "# second" in edited(text, {"a": 1, "b": 2}, {**wanted, "b": 2})


def test_what_is_written_anew_reads_the_same_by_other_readers():
    wanted = {"a": "on", "b": "0777", "c": "1e3", "d": "yes", "e": ["1:30"], "f": "line\nline\n"}
    assert yaml.safe_load(rendered(wanted)) == wanted
