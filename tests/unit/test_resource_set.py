"""A set of resources changed in place equals one made afresh."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fluxgate.snapshot import ResourceSet, SnapshotResource

URL = "type.example.com/thing"
NAMES = st.sampled_from("abcdef")
CONTENTS = st.dictionaries(NAMES, st.binary(max_size=2))


def resources(contents: dict[str, bytes]) -> list[SnapshotResource]:
    return [SnapshotResource.of(URL, name, payload) for name, payload in contents.items()]


@given(before=CONTENTS, made=CONTENTS, gone=st.frozensets(NAMES))
def test_a_changed_set_is_the_one_that_would_be_made_of_its_members(
    before: dict[str, bytes], made: dict[str, bytes], gone: frozenset[str]
) -> None:
    left = {name: payload for name, payload in before.items() if name not in gone}

    changed = ResourceSet.of(resources(before)).changed(resources(made), gone)

    afresh = ResourceSet.of(resources(left | made))
    assert changed == afresh
    assert list(changed.resources) == list(afresh.resources)


def test_a_set_in_which_nothing_changed_is_the_very_same() -> None:
    before = ResourceSet.of(resources({"a": b"1", "b": b"2"}))

    assert before.changed(resources({"a": b"1"}), ("c",)) is before
