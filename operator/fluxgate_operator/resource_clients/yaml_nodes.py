"""Plain data into a ruamel.yaml tree, touching nothing that stays as it is.

ruamel reads YAML 1.2, we and kubectl read 1.1, where ``on`` is a boolean. So what changed is decided by what
our reader made of the text, never by ruamel's values, and new text is quoted if either would misread it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.scalarstring import (
    DoubleQuotedScalarString,
    LiteralScalarString,
    ScalarString,
    SingleQuotedScalarString,
)

_TEXT = "tag:yaml.org,2002:str"
_GO_BOOLEANS = frozenset({"y", "Y", "n", "N"})
"""What kubectl's reader takes for booleans besides."""
_PLAIN_LINES = re.compile(r"(?:[^\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\n]*\n)+")
"""Lines a literal block can hold as they are."""


class CannotEditError(Exception):
    """This tree shares parts, so that a change in one place would show in another."""


class Editor:
    """Makes one ruamel tree say what is wanted. ``shared`` are the ids of nodes in two places."""

    def __init__(self, tree: object) -> None:
        seen: set[int] = set()
        self._shared: set[int] = set()
        self._look_for_shared(tree, seen)

    def edit_map(
        self, node: CommentedMap, current: Mapping[str, Any], wanted: Mapping[str, Any]
    ) -> None:
        """Change, add and remove keys. Raises :class:`CannotEditError` for merge keys."""
        if getattr(node, "merge", None):
            raise CannotEditError
        keys = {str(key): key for key in node}
        for key in current.keys() - wanted.keys():
            del node[keys[key]]
        for key, value in wanted.items():
            if key not in current:
                node[built(key)] = built(value)
            elif not same(current[key], value):
                node[keys[key]] = self._edited(node[keys[key]], current[key], value)

    def _edited(self, node: object, current: object, wanted: object) -> object:
        alone = id(node) not in self._shared and not getattr(node, "merge", None)
        if alone and isinstance(node, CommentedMap) and _are(dict, current, wanted):
            self.edit_map(node, cast("dict[str, Any]", current), cast("dict[str, Any]", wanted))
            return node
        if alone and isinstance(node, CommentedSeq) and _are(list, current, wanted):
            self._edit_list(node, cast("list[Any]", current), cast("list[Any]", wanted))
            return node
        if isinstance(node, DoubleQuotedScalarString | SingleQuotedScalarString) and isinstance(
            wanted, str
        ):
            return built(wanted, type(node))
        return built(wanted)

    def _edit_list(self, node: CommentedSeq, current: list[Any], wanted: list[Any]) -> None:
        """Items that stay keep their comments, wherever they move to."""
        before, after = _spelled(current), _spelled(wanted)
        matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
        for tag, low, high, start, end in reversed(matcher.get_opcodes()):
            if tag == "equal":
                continue
            both = min(high - low, end - start)
            for at in range(both):
                node[low + at] = self._edited(node[low + at], current[low + at], wanted[start + at])
            for at in reversed(range(low + both, high)):
                del node[at]
            for at, value in enumerate(wanted[start + both : end], start=low + both):
                node.insert(at, built(value))

    def _look_for_shared(self, node: object, seen: set[int]) -> None:
        if not isinstance(node, CommentedMap | CommentedSeq):
            return
        if id(node) in seen:
            self._shared.add(id(node))
            return
        seen.add(id(node))
        for each in node.values() if isinstance(node, CommentedMap) else node:
            self._look_for_shared(each, seen)


def same(one: object, other: object) -> bool:
    """Equal as JSON: ``1`` is neither ``true`` nor ``1.0``."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def built(value: object, quoted: type[ScalarString] | None = None) -> object:
    """A tree of new nodes. Text is quoted when it has to be, or as ``quoted`` says."""
    if isinstance(value, Mapping):
        made = CommentedMap()
        for key, each in value.items():
            made[built(key)] = built(each)
        return made
    if isinstance(value, list | tuple):
        return CommentedSeq(built(each) for each in value)
    if not isinstance(value, str):
        return value
    if quoted is not None and "\n" not in value:
        return quoted(value)
    return _STYLES[style_of(value)](value)


def style_of(value: str) -> str | None:
    """How a text is written: as a block, in double quotes, or (None) as it is, unless that cannot be."""
    if "\n" in value:
        plain = _PLAIN_LINES.fullmatch(value) and not value.startswith((" ", "\n", "\t"))
        return "|" if plain else '"'
    return '"' if _ambiguous(value) else None


_STYLES: Mapping[str | None, type[str]] = {
    "|": LiteralScalarString,
    '"': DoubleQuotedScalarString,
    None: str,
}


def _ambiguous(text: str) -> bool:
    """Whether a reader of YAML 1.1 or 1.2 would take the text, unquoted, for something else."""
    found = [
        reader.resolve(node, text, (True, False))
        for reader, node in zip(_readers(), (yaml.ScalarNode, ScalarNode), strict=True)
    ]
    return any(str(tag) != _TEXT for tag in found) or text in _GO_BOOLEANS


@cache
def _readers() -> tuple[Any, Any]:
    """What tells the type of plain text, by YAML 1.1 and by 1.2; dear to make, and asked of every text."""
    return yaml.resolver.Resolver(), new_yaml().resolver


class _WithoutPlugIns(YAML):
    """Every YAML() looks for plug-ins on the disk; we have none."""

    def official_plug_ins(self) -> list[str]:
        return []


def new_yaml() -> YAML:
    """A reader and writer of YAML 1.2 that keeps what people wrote."""
    return _WithoutPlugIns()


def _spelled(values: list[Any]) -> list[str]:
    return [json.dumps(each, sort_keys=True) for each in values]


def _are(kind: type, *values: object) -> bool:
    return all(isinstance(each, kind) for each in values)
