"""The JSON that bodies are changed by, compared with Python's through the real Envoy."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.client import Response
from support.documents import Documents, gateway, route
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy
JSON = [("content-type", "application/json")]
DEEPEST = 64

CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {"remove": ["no.such.field"]},
    "set": {"set": {"a.b": [1, {"x": None}], "c": "text"}},
    "add": {"add": {"a": {"made": True}, "b.c": 1.5}},
    "remove": {"remove": ["a", "b.c", "0", "*.c"]},
    "rename": {"rename": {"a": "b", "b.c": "a"}},
    "every": {"set": {"*.b": 0}, "remove": ["c.*"]},
    "pointer": {"set": {"/a~1b/~0": "x"}, "remove": ["/a/0"]},
    "append": {"add": {"/a/-": 7, "b.1": 8}},
}


@pytest.fixture(scope="module")
def served() -> Iterator[Documents]:
    with EchoUpstream() as echo:
        routes = [
            route(name, echo.port, {"request-transform": {"body": changes}})
            for name, changes in CHANGES.items()
        ]
        with Documents(gateway(logging={"accessLog": {"enabled": False}}), *routes) as running:
            yield running


def through(served: Documents, name: str, text: str) -> Response:
    body = text.encode("utf-8", "surrogatepass")
    return served.get(f"/{name}", JSON, method="POST", body=body)


def changed(served: Documents, name: str, text: str) -> str:
    answer = through(served, name, text)
    assert answer.status == 200, (text, answer.body)
    return str(answer.json()["body"]).encode("latin-1").decode("utf-8", "surrogatepass")


def steps(path: str) -> list[str | None]:
    if path.startswith("/"):
        return [each.replace("~1", "/").replace("~0", "~") for each in path[1:].split("/")]
    return [None if each == "*" else each for each in path.split(".")]


Place = int | str
Act = Callable[[Any, str | None], None]


def places(node: Any, step: str | None) -> list[Place]:
    if isinstance(node, dict):
        return list(node) if step is None else [each for each in [step] if each in node]
    if step is None:
        return list(range(len(node)))
    found = step.isascii() and step.isdigit() and int(step) < len(node)
    return [int(step)] if found else []


def put(node: Any, step: str, value: Any) -> bool:
    if isinstance(node, dict):
        node[step] = value
        return True
    if step == "-" or step == str(len(node)):
        node.append(value)
        return True
    return False


def follow(node: Any, path: list[str | None], act: Act, *, make: bool) -> None:
    if not isinstance(node, dict | list):
        return
    step, *rest = path
    if not rest:
        act(node, step)
        return
    found = places(node, step)
    if not found and make and step is not None:
        child: dict[str, Any] = {}
        if put(node, step, child):
            follow(child, rest, act, make=make)
    for each in found:
        if make and step is not None and node[each] is None:
            node[each] = {}
        follow(node[each], rest, act, make=make)


def reference(changes: dict[str, Any], document: Any) -> Any:
    """What the documentation says, in Python."""

    def rename(to: str) -> Act:
        def act(node: Any, step: str | None) -> None:
            if isinstance(node, dict) and step in node and step != to:
                items = [
                    (to if key == step else key, value) for key, value in node.items() if key != to
                ]
                node.clear()
                node.update(items)

        return act

    def remove(node: Any, step: str | None) -> None:
        for each in reversed(places(node, step)):
            del node[each]

    def assign(value: Any, *, always: bool) -> Act:
        def act(node: Any, step: str | None) -> None:
            found = places(node, step)
            if not found:
                put(node, str(step), json.loads(json.dumps(value)))
            elif always:
                node[found[0]] = json.loads(json.dumps(value))

        return act

    for path, to in sorted(changes.get("rename", {}).items()):
        follow(document, steps(path), rename(to), make=False)
    for path in changes.get("remove", []):
        follow(document, steps(path), remove, make=False)
    for kind in ("set", "add"):
        for path, value in sorted(changes.get(kind, {}).items()):
            follow(document, steps(path), assign(value, always=kind == "set"), make=True)
    return document


NAMES = st.sampled_from(["a", "b", "c", "0", "1", "a/b", "~", "", "é", 'q"\\', "\u2028", "\x7f"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)  # fmt: skip
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", CHANGES)
@FAST
@given(document=DOCUMENTS, escaped=st.booleans())
def test_a_document_changes_as_the_reference_says(
    served: Documents, name: str, document: Any, *, escaped: bool
) -> None:
    text = json.dumps(document, ensure_ascii=escaped)
    expected = reference(CHANGES[name], json.loads(text))
    made = json.loads(changed(served, name, text))
    assert json.dumps(made) == json.dumps(expected)


@FAST
@given(document=DOCUMENTS, escaped=st.booleans())
def test_what_does_not_change_keeps_its_bytes(
    served: Documents, document: Any, *, escaped: bool
) -> None:
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=escaped)
    assert changed(served, "nothing", text) == text


def strict(text: str) -> bool:
    """Whether Python takes the text as JSON, without its own additions."""

    def refuse(name: str) -> float:
        raise ValueError(name)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    document=DOCUMENTS,
    where=st.floats(0, 1),
    cut=st.integers(0, 3),
    put_in=st.text(st.sampled_from('{}[],:"\\u01 -+.eEtrufalsn\n\t\x00'), max_size=3),
)
def test_what_python_refuses_is_refused_and_nothing_else(
    served: Documents, document: Any, where: float, cut: int, put_in: str
) -> None:
    text = json.dumps(document)
    at = math.floor(where * len(text))
    text = text[:at] + put_in + text[at + cut :]
    if text:
        assert through(served, "nothing", text).status == (200 if strict(text) else 400), text


@pytest.mark.parametrize(
    "text",
    [
        "1e400", "-0", "0.10", "1E+2", "12345678901234567890123", '"\\ud800"', '"\\u00e9"', '"\\/"',
        '{"a":1,"a":2}', "[]", "{}", '""', "null", '{"":{"":[]}}', '"\x7f"',
        "[" * DEEPEST + "]" * DEEPEST,
    ],
)  # fmt: skip
def test_spelling_survives(served: Documents, text: str) -> None:
    assert changed(served, "nothing", text) == text


@pytest.mark.parametrize(
    "text",
    [
        "{a:1}", "{'a':1}", "[1,]", '{"a":1,}', "[,1]", "01", "-", "+1", ".5", "1.", "1e", "0x1",
        "NaN", "Infinity", "True", "nul", '"a', '"\n"', '"\\x"', '"\\u12g4"', "[1 2]", '{"a" 1}',
        '{"a"}', "{1:2}", "1 2", "//c\n1", "/**/1", "\ufeff1", " ", "]", "\x001",
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(served: Documents, text: str) -> None:
    assert through(served, "nothing", text).status == 400


@pytest.mark.parametrize("spelt", ["a", "\\u0061"])
def test_a_name_is_found_however_it_is_spelt(served: Documents, spelt: str) -> None:
    assert changed(served, "remove", f'{{"{spelt}":1,"x":2}}') == '{"x":2}'


def test_a_name_that_is_there_twice_is_removed_twice_and_set_once(served: Documents) -> None:
    assert changed(served, "remove", '{"a":1,"x":2,"a":3}') == '{"x":2}'
    assert changed(served, "set", '{"c":1,"x":2,"c":3,"a":{"b":0}}') == (
        '{"c":"text","x":2,"a":{"b":[1,{"x":null}]}}'
    )


def test_thousands_of_repeated_names_take_no_time_to_speak_of(served: Documents) -> None:
    text = "{" + ",".join('"a":1,"x":2' for _ in range(40_000)) + "}"
    before = served.envoy.cpu_seconds
    answer = served.get("/remove", JSON, method="POST", body=text.encode())
    assert served.envoy.cpu_seconds - before < 2
    assert answer.status == 200
    assert answer.json()["body"].count('"x"') == 40_000
