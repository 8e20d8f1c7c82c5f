"""A resource file as text: which objects it holds, and the same file with one of them changed.

YAML is handled part by part (what ``---`` separates), so that everything besides the one document keeps every
byte. JSON has no comments; it is written anew, indented as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fluxgate.api.canonical import canonical
from fluxgate.api.documents import normalise
from fluxgate.errors import FieldProblem
from fluxgate.resources import ObjectRef
from fluxgate_operator.documents import (
    DocumentError,
    decode,
    read_documents,
    read_yaml,
    says_nothing,
    spans,
)
from fluxgate_operator.resource_clients.objects import bookkeeping, identity
from fluxgate_operator.resource_clients.yaml_edit import edited, rendered

_BOM = b"\xef\xbb\xbf"
_ONLY_MARKERS = re.compile(r"(?:\s|---|\.\.\.)*\Z")
_TITLE = re.compile(r"\A(?:[ \t]*#[^\n]*\n)+[ \t]*\n")
"""Comments at the top of a file that a blank line separates from what follows."""
_JSON_INDENT = re.compile(r"\n( +)\S")

Content = dict[str, Any]
Contents = tuple[Content | None, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """One object of ours in a file: all its document says, and the part it stands in."""

    content: Content
    part: int


@dataclass(frozen=True, slots=True)
class Part:
    """What stands between two markers.

    ``contents`` is None when it cannot be read; an item of it is None when JSON cannot say it.
    """

    text: str
    contents: Contents | None


@dataclass(frozen=True, slots=True)
class FileText:
    """One file. ``problem`` says why something in it, or with no parts everything, cannot be read."""

    objects: Mapping[ObjectRef, Found] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    problem: str = ""
    bom: bool = False
    is_json: bool = False

    def replaced(self, ref: ObjectRef, document: Content) -> bytes:
        """The file with ``ref`` as the canonical ``document`` has it. Raises :class:`DocumentError`."""
        found = self.objects[ref]
        wanted = adopted(found.content, document)
        return self._with(found, ref, wanted)

    def removed(self, ref: ObjectRef) -> bytes | None:
        """The file without ``ref``; None when nothing is left that anybody wrote.

        Raises :class:`DocumentError`.
        """
        left, data = self, b""
        known = {each.text: each.contents for each in self.parts if each.contents is not None}
        while ref in left.objects:  # a document that says the same again counts once this is gone
            data = left._with(left.objects[ref], ref, None)
            left = read_text(data, is_json=self.is_json, remembered=known)
        return data or None

    def _with(self, found: Found, ref: ObjectRef, wanted: Content | None) -> bytes:
        part = self.parts[found.part]
        if self.is_json:
            text = _json_with(part.text, ref, wanted)
        else:
            if part.contents is None or len(part.contents) != 1:
                raise DocumentError("several documents in one; put --- between them")
            new = "" if wanted is None else edited(part.text, found.content, wanted)
            if wanted is None and found.part == 0 and (title := _TITLE.match(part.text)):
                new = title.group()
            before = [each.text for each in self.parts[: found.part]]
            after = [each.text for each in self.parts[found.part + 1 :]]
            text = "".join([*before, new, *after])
            text = "" if _ONLY_MARKERS.match(text) else text
        return (_BOM if self.bom and text else b"") + text.encode()


class Remembered(Protocol):
    """What is known of texts read before."""

    def get(self, text: str, /) -> Contents | None:
        """The contents of a part with this very text; the same objects again."""
        ...


def read_text(data: bytes, *, is_json: bool, remembered: Remembered | None = None) -> FileText:
    """What a file says. Never raises for what it holds; the first of two equal objects counts."""
    try:
        text = decode(data)
        parts, problem = _json_part(data, text) if is_json else _yaml_parts(text, remembered)
    except DocumentError as error:
        return FileText(problem=str(error), is_json=is_json)
    objects: dict[ObjectRef, Found] = {}
    for at, part in enumerate(parts):
        for content in part.contents or ():
            if content is None:
                problem = problem or "a document holds what JSON cannot say"
            elif (ref := identity(content)) is not None and ref not in objects:
                objects[ref] = Found(content, at)
    return FileText(objects, tuple(parts), problem, data.startswith(_BOM), is_json)


def new_text(document: Content, *, is_json: bool = False) -> bytes:
    """A file of one object."""
    return (json.dumps(document, indent=2) + "\n" if is_json else rendered(document)).encode()


def adopted(current: Content, document: Content) -> Content:
    """All that ``current`` says, with the part a user writes as the canonical ``document`` has it."""
    before = canonical(current)
    result = dict(current)
    if before["spec"] != document["spec"]:
        result["spec"] = document["spec"]
    metadata = dict(current["metadata"])
    for key in ("labels", "annotations"):
        if before["metadata"].get(key) == document["metadata"].get(key):
            continue
        kept = bookkeeping(metadata.get(key) or {}) if key == "annotations" else {}
        wanted = {**document["metadata"].get(key, {}), **kept}
        if wanted:
            metadata[key] = wanted
        else:
            metadata.pop(key, None)
    result["metadata"] = metadata
    return result


def _plain(contents: Iterable[Content]) -> Contents:
    return tuple(each if identity(each) is None or _is_plain(each) else None for each in contents)


def _is_plain(content: Content) -> bool:
    """Whether an object can be said in JSON, and its labels and annotations are mappings."""
    problems: list[FieldProblem] = []
    normal = normalise(content, "", problems)
    if problems or not isinstance(normal, dict):
        return False
    metadata = normal["metadata"]
    tables = (metadata.get("labels"), metadata.get("annotations"))
    return all(each is None or isinstance(each, dict) for each in tables)


def _yaml_parts(text: str, remembered: Remembered | None) -> tuple[list[Part], str]:
    parts: list[Part] = []
    problem = ""
    line = 0
    for start, end in spans(text):
        part = text[start:end]
        contents: Contents | None = ()
        if not says_nothing(part):
            contents = remembered.get(part) if remembered is not None else None
            try:
                if contents is None:
                    contents = _plain(each.content for each in read_yaml(part, line))
            except DocumentError as error:
                contents, problem = None, problem or str(error)
        parts.append(Part(part, contents))
        line += part.count("\n")
    return parts, problem


def _json_part(data: bytes, text: str) -> tuple[list[Part], str]:
    documents, errors = read_documents(data, is_json=True)
    if errors:
        return [Part(text, None)], str(errors[0])
    return [Part(text, _plain(each.content for each in documents))], ""


def _json_with(text: str, ref: ObjectRef, wanted: Content | None) -> str:
    given = json.loads(text)
    items: Sequence[Content] = given if isinstance(given, list) else [given]
    at = next(at for at, each in enumerate(items) if identity(each) == ref)
    new = [*items[:at], *([] if wanted is None else [wanted]), *items[at + 1 :]]
    if not new:
        return ""
    indent = match[1] if (match := _JSON_INDENT.search(text)) else None
    whole = new if isinstance(given, list) else new[0]
    return json.dumps(whole, indent=indent, ensure_ascii=False) + "\n"
