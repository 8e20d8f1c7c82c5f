"""Whatever stands in a hand-written file, and whatever is wanted instead: the text says it, and comments stay."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fluxgate_operator.documents import read_yaml
from fluxgate_operator.resource_clients.file_text import new_text, read_text
from fluxgate_operator.resource_clients.yaml_edit import edited, rendered

_WORDS = st.sampled_from(
    ["a", "b c", "on", "1", "0777", "x: y", "# z", "", "l\nm\n", "é", "-", "1e3"]
)
_SCALARS = st.one_of(_WORDS, st.integers(-9, 9), st.booleans(), st.none(), st.floats(-1, 1))
_KEYS = st.sampled_from(["alpha", "beta", "gamma", "delta", "on", "1"])
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_KEYS, inner, max_size=3)),
    max_leaves=10,
)
_MAPS = st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=5)


@st.composite
def hand_written(draw: st.DrawFn) -> str:
    """A document with comments and blank lines wherever they may stand between top-level keys."""
    lines = []
    for count, (key, value) in enumerate(draw(_MAPS).items()):
        lines += [""] * draw(st.integers(0, 1))
        lines += [f"# comment {count}"] * draw(st.booleans())
        text = rendered({key: value})
        if draw(st.booleans()) and isinstance(value, int):
            text = text.rstrip("\n") + f"   # behind {count}\n"
        lines += text.splitlines()
    lines += ["# the end"] * draw(st.booleans())
    return "\n".join(lines) + "\n" * draw(st.booleans())


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """Mostly the same, as changes are."""
    if draw(st.integers(0, 3)) == 0:
        return draw(_VALUES)
    if isinstance(value, dict):
        result = {
            key: draw(changed(each)) for key, each in value.items() if draw(st.integers(0, 4))
        }
        return {**result, **draw(st.dictionaries(_KEYS, _VALUES, max_size=1))}
    if isinstance(value, list):
        return [draw(changed(each)) for each in value if draw(st.integers(0, 4))]
    return value


def content_of(text: str) -> dict[str, Any]:
    (document,) = read_yaml(text)
    return document.content


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_text_says_what_was_wanted_and_top_level_comments_stay(data: st.DataObject):
    text = data.draw(hand_written())
    current = content_of(text)
    wanted = data.draw(changed(current))
    if not isinstance(wanted, dict) or not wanted:
        return
    result = edited(text, current, wanted)
    assert content_of(result) == wanted
    for line in text.splitlines():
        if line.startswith("# "):
            assert line in result.splitlines()


@settings(max_examples=200, deadline=None)
@given(_MAPS)
def test_a_document_written_anew_reads_as_it_was(content: dict[str, Any]):
    assert content_of(rendered(content)) == content


def _resource(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Route",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


@settings(max_examples=200, deadline=None)
@given(st.lists(_MAPS, min_size=1, max_size=4), st.data())
def test_the_other_documents_of_a_file_keep_every_byte(
    specs: list[dict[str, Any]], data: st.DataObject
):
    documents = [_resource(f"r{count}", spec) for count, spec in enumerate(specs)]
    parts = [new_text(each).decode() for each in documents]
    glue = data.draw(
        st.sampled_from(["---\n", "--- # next\n", "\n---\n\n# about the next\n", "---\r\n"])
    )
    text = glue.join(parts)
    at = data.draw(st.integers(0, len(specs) - 1))
    found = read_text(text.encode(), is_json=False)
    (ref,) = (each for each in found.objects if each.name == f"r{at}")
    wanted = copy.deepcopy(documents[at])
    wanted["spec"] = data.draw(changed(wanted["spec"]))
    if not isinstance(wanted["spec"], dict):
        return
    new = read_text(found.replaced(ref, wanted), is_json=False)
    assert len(new.parts) == len(found.parts)
    for count, (before, after) in enumerate(zip(found.parts, new.parts, strict=True)):
        assert before.text == after.text or count == found.objects[ref].part
    assert new.objects[ref].content == wanted
    left = found.removed(ref)
    rest = read_text(left, is_json=False).objects if left is not None else {}
    assert {each: known.content for each, known in rest.items()} == {
        each: known.content for each, known in found.objects.items() if each != ref
    }
