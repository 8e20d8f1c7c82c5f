"""Reading the documents of one file."""

from __future__ import annotations

import pytest

from fluxgate_operator.documents import (
    MAX_FILE_BYTES,
    Document,
    DocumentError,
    read_documents,
)

ROUTE = b"""\
kind: Route
metadata:
  name: orders
spec:
  retry:
    on: [5xx]
  expires: 2030-01-01T00:00:00Z
"""


def good(data: bytes) -> list[Document]:
    documents, errors = read_documents(data)
    assert errors == []
    return documents


def bad(data: bytes) -> DocumentError:
    documents, errors = read_documents(data)
    assert documents == []
    assert len(errors) == 1
    return errors[0]


def test_every_document_knows_the_line_it_starts_at() -> None:
    documents = good(b"# a comment\n---\n" + ROUTE + b"---\n" + ROUTE)

    assert [document.line for document in documents] == [3, 11]


def test_a_field_is_located_by_its_json_path() -> None:
    (document,) = good(b"---\nspec:\n  matches:\n  - path: /a\n  - path:\n      type: Oops\n")

    assert document.locate("spec.matches[1].path.type") == (6, 7)


def test_a_field_that_is_missing_is_located_at_its_nearest_parent() -> None:
    (document,) = good(ROUTE)

    assert document.locate("spec.matches[0].path") == (4, 1)


def test_keys_are_the_text_as_written_and_timestamps_stay_text() -> None:
    (document,) = good(ROUTE)

    assert document.content["spec"] == {"retry": {"on": ["5xx"]}, "expires": "2030-01-01T00:00:00Z"}


def test_a_broken_document_does_not_hide_the_others() -> None:
    documents, errors = read_documents(ROUTE + b"---\nspec: [1, 2\n---\n" + ROUTE)

    assert len(documents) == 2
    assert [error.line for error in errors] == [10]
    assert "expected ',' or ']'" in errors[0].message


def test_a_marker_inside_a_block_scalar_is_text() -> None:
    (document,) = good(b"a: |\n  one\n  ---\n  two\n")

    assert document.content == {"a": "one\n---\ntwo\n"}


def test_comments_directives_and_end_marks_are_no_documents() -> None:
    assert good(b"%YAML 1.1\n---\n# nothing\n...\n---\n") == []


def test_a_duplicate_key_is_refused_where_it_stands() -> None:
    error = bad(b"kind: Route\nspec:\n  a: 1\n  a: 2\n")

    assert (error.line, error.column) == (4, 3)
    assert "'a' is there twice" in error.message


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]

    assert "expands to more than" in bad("\n".join(lines).encode()).message


def test_an_alias_that_contains_itself_is_refused() -> None:
    assert "contains itself" in bad(b"a: &a [*a]\n").message


def test_merge_keys_are_merged_and_own_keys_win() -> None:
    (document,) = good(b"base: &b {x: 1, y: 2}\nspec:\n  <<: *b\n  y: 3\n")

    assert document.content["spec"] == {"x": 1, "y": 3}


def test_a_python_tag_is_refused() -> None:
    assert "could not determine a constructor" in bad(b"a: !!python/name:os.system x\n").message


@pytest.mark.parametrize("data", [b"just text\n", b"- a\n- b\n", b"42\n"])
def test_a_document_that_is_no_mapping_is_refused(data: bytes) -> None:
    assert "a resource is a mapping" in bad(data).message


def test_what_is_not_utf_8_is_refused_with_line_and_column() -> None:
    with pytest.raises(DocumentError, match="0xff") as raised:
        read_documents(b"kind: Route\nname: \xff\n")

    assert (raised.value.line, raised.value.column) == (2, 7)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(DocumentError, match="empty"):
        read_documents(b"")


def test_a_huge_file_is_refused_unread() -> None:
    with pytest.raises(DocumentError, match="at most 4,194,304"):
        read_documents(b"#" * (MAX_FILE_BYTES + 1))


def test_very_deep_nesting_is_refused() -> None:
    assert "too deeply" in bad(b"a: " + b"[" * 5_000 + b"]" * 5_000).message


def test_json_is_read_and_its_syntax_errors_have_a_place() -> None:
    documents, errors = read_documents(b'{"kind": "Route"}', is_json=True)
    assert [document.content for document in documents] == [{"kind": "Route"}]
    assert errors == []

    _, errors = read_documents(b'{"kind":\n "Route"', is_json=True)
    assert errors[0].line == 2


def test_json_with_a_duplicate_key_is_refused() -> None:
    _, errors = read_documents(b'{"kind": "Route", "kind": "Plugin"}', is_json=True)

    assert "'kind' is there twice" in errors[0].message
