"""The documents of one file: YAML or JSON text to mappings that know their lines.

A file is split at its ``---`` markers first, so a document that cannot be parsed
never hides the others. Values follow YAML 1.1 as kubectl reads it, with two
differences that make them JSON: keys are always the text as written (``on`` stays
``on``), and timestamps stay strings. Duplicate keys, recursive aliases and aliases
that expand beyond reason are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from fluxgate_operator.errors import OperatorError

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_DOCUMENTS = 20_000
MAX_NODES = 500_000
MAX_DEPTH = 100

_MARKER = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_NOTHING = re.compile(
    r"(?:[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)|%[^\n]*(?:\n|\Z)|\.\.\.[ \t\r]*(?:\n|\Z))*\Z"
)
_TEXT_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"})
_MERGE = "tag:yaml.org,2002:merge"


class DocumentError(OperatorError):
    """A file or a document cannot be read. ``line`` and ``column`` count from one; 0 is unknown."""

    def __init__(self, message: str, line: int = 0, column: int = 0) -> None:
        self.message = message
        self.line = line
        self.column = column
        super().__init__(f"{line}:{column}: {message}" if line else message)


@dataclass(frozen=True, slots=True)
class Document:
    """One document: where it starts, what it says, and where each of its fields stands."""

    line: int
    content: dict[str, object]
    _node: Node | None = field(default=None, repr=False)
    _offset: int = 0

    def locate(self, path: str) -> tuple[int, int]:
        """Line and column of the field with this JSON path, or of its nearest parent that is there."""
        node = self._node
        if node is None:
            return self.line, 1
        mark = node.start_mark
        for step in re.findall(r"[^.\[\]]+|\[\d+\]", path):
            found = _child(node, step)
            if found is None:
                break
            mark, node = found
        return self._offset + mark.line + 1, mark.column + 1


def read_documents(
    data: bytes, *, is_json: bool = False
) -> tuple[list[Document], list[DocumentError]]:
    """Every document of a file that can be read, and an error for each that cannot.

    Raises :class:`DocumentError` when nothing of the file can be read at all: it is
    too large, empty, or not UTF-8.
    """
    text = decode(data)
    if is_json:
        return _read_json(text)
    documents: list[Document] = []
    errors: list[DocumentError] = []
    for count, (offset, chunk) in enumerate(_split(text)):
        if count >= MAX_DOCUMENTS:
            raise DocumentError(f"more than {MAX_DOCUMENTS:,} documents in one file")
        try:
            documents.extend(read_yaml(chunk, offset))
        except DocumentError as error:
            errors.append(error)
    return documents, errors


def decode(data: bytes) -> str:
    """The text of a file. Raises :class:`DocumentError` when it is too large, empty, or not UTF-8."""
    if len(data) > MAX_FILE_BYTES:
        raise DocumentError(
            f"the file has {len(data):,} bytes; at most {MAX_FILE_BYTES:,} are read"
        )
    if not data:
        raise DocumentError("the file is empty; delete it to remove its objects")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        byte = data[error.start]
        raise DocumentError(f"not UTF-8: byte 0x{byte:02x} is not text", line, column) from None


def spans(text: str) -> list[tuple[int, int]]:
    """Where the parts of a file begin and end, each with the ``---`` it begins with."""
    starts = [match.start() for match in _MARKER.finditer(text)]
    if not starts or starts[0] != 0:
        starts.insert(0, 0)
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def says_nothing(part: str) -> bool:
    """Whether a part holds no document, only blanks, comments and directives."""
    return _NOTHING.match(part.removeprefix("---")) is not None


def _split(text: str) -> Iterator[tuple[int, str]]:
    """(lines before it, text) of every document that says anything."""
    line = 0
    for start, end in spans(text):
        chunk = text[start:end]
        if not says_nothing(chunk):
            yield line, chunk
        line += chunk.count("\n")


def read_yaml(text: str, offset: int = 0) -> Iterator[Document]:
    """The documents of one part, ``offset`` lines below the top. Raises :class:`DocumentError`."""
    try:
        loader = yaml.CSafeLoader(text)
    except yaml.YAMLError as error:
        raise _syntax_error(error, offset) from None
    try:
        while loader.check_node():
            node = cast("Node", loader.get_node())
            content = _Constructor(loader, offset).build(node)
            line = offset + node.start_mark.line + 1
            if content is None:
                continue
            if not isinstance(content, dict):
                raise DocumentError(
                    "a resource is a mapping with apiVersion, kind, metadata and spec", line, 1
                )
            yield Document(line, content, node, offset)
    except yaml.YAMLError as error:
        raise _syntax_error(error, offset) from None
    except RecursionError:
        raise DocumentError("nested too deeply", offset + 1, 1) from None
    finally:
        loader.dispose()


def _syntax_error(error: yaml.YAMLError, offset: int) -> DocumentError:
    if not isinstance(error, yaml.MarkedYAMLError):
        reason = getattr(error, "reason", None) or str(error)
        return DocumentError(f"not YAML: {reason}", offset + 1, 1)
    mark = error.problem_mark or error.context_mark
    words = ", ".join(part for part in (error.context, error.problem) if part)
    if mark is None:
        return DocumentError(f"not YAML: {words}", offset + 1, 1)
    return DocumentError(f"not YAML: {words}", offset + mark.line + 1, mark.column + 1)


class _Constructor:
    """Plain data from a node tree. One per document; counts what aliases expand to."""

    def __init__(self, loader: yaml.CSafeLoader, offset: int) -> None:
        self._loader = loader
        self._offset = offset
        self._count = 0
        self._depth = 0

    def build(self, node: Node) -> object:
        if type(node) is ScalarNode:
            return self._scalar(node)
        self._count += len(node.value) + 1
        self._depth += 1
        if self._count > MAX_NODES:
            raise self._error(node, f"the document expands to more than {MAX_NODES:,} values")
        if self._depth > MAX_DEPTH:
            raise self._error(node, "nested too deeply, or an alias that contains itself")
        try:
            if type(node) is MappingNode:
                return self._mapping(node)
            return [self.build(item) for item in cast("SequenceNode", node).value]
        finally:
            self._depth -= 1

    def _scalar(self, node: ScalarNode) -> object:
        if node.tag in _TEXT_TAGS:
            return node.value
        try:
            return cast("object", self._loader.construct_object(node))
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            reason = getattr(error, "problem", None) or str(error)
            raise self._error(node, f"{node.value!r} cannot be read: {reason}") from None

    def _mapping(self, node: MappingNode) -> dict[str, object]:
        result: dict[str, object] = {}
        merged: dict[str, object] = {}
        for key, value in node.value:
            if type(key) is not ScalarNode:
                raise self._error(key, "a key must be plain text")
            if key.tag == _MERGE:
                merged = {**self._merged(value), **merged}
                continue
            if key.value in result:
                raise self._error(key, f"the key {key.value!r} is there twice")
            result[key.value] = self.build(value)
        return {**merged, **result} if merged else result

    def _merged(self, node: Node) -> dict[str, object]:
        value = self.build(node)
        if isinstance(value, dict):
            return value
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return {key: item for each in reversed(value) for key, item in each.items()}
        raise self._error(node, "<< takes a mapping or a list of mappings")

    def _error(self, node: Node, message: str) -> DocumentError:
        mark = node.start_mark
        return DocumentError(message, self._offset + mark.line + 1, mark.column + 1)


def _child(node: Node, step: str) -> tuple[yaml.Mark, Node] | None:
    if step.startswith("[") and isinstance(node, SequenceNode):
        index = int(step[1:-1])
        if index < len(node.value):
            item = node.value[index]
            return item.start_mark, item
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == step:
                return key.start_mark, value
    return None


def _read_json(text: str) -> tuple[list[Document], list[DocumentError]]:
    repeated: list[str] = []

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        result = dict(items)
        if len(result) != len(items):
            names = [name for name, _ in items]
            repeated.extend(name for name in result if names.count(name) > 1)
        return result

    try:
        content = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        return [], [DocumentError(f"not JSON: {error.msg}", error.lineno, error.colno)]
    except (RecursionError, ValueError) as error:
        return [], [DocumentError(f"not JSON: {error}", 1, 1)]
    if repeated:
        return [], [DocumentError(f"the key {repeated[0]!r} is there twice", 1, 1)]
    items = content if isinstance(content, list) else [content]
    if not all(isinstance(item, dict) for item in items):
        return [], [
            DocumentError("a resource is an object with apiVersion, kind, metadata and spec", 1, 1)
        ]
    return [Document(1, item) for item in items], []
