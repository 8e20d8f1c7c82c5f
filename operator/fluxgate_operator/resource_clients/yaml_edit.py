"""One YAML document with another content, and everything of it that stays as it was written.

The change is made in ruamel.yaml's tree and carried over into the text line by line. What comes out is
read again: a text that does not say what was wanted is never written; rather its document is written anew, with
its comments on top.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter

from fluxgate_operator.documents import DocumentError, read_yaml
from fluxgate_operator.resource_clients.carry_over import carry_over
from fluxgate_operator.resource_clients.yaml_nodes import (
    CannotEditError,
    Editor,
    built,
    new_yaml,
    same,
    style_of,
)

_HEAD = re.compile(r"\A---[ \t]*(?:#[^\n]*)?\n")
_COMMENT = re.compile(r"^[ \t]*#[^\n]*", re.MULTILINE)
_NO_FOLDING = 1 << 20

Content = Mapping[str, Any]


def edited(part: str, current: Content, wanted: Content) -> str:
    """``part`` of a file (its ``---`` included), which says ``current``, saying ``wanted``."""
    if same(current, wanted):
        return part
    head = _HEAD.match(part)
    start = head.end() if head else 0
    marker, body = part[:start], part[start:]
    carriage = "\r\n" in body
    plain = body.replace("\r\n", "\n") if carriage else body
    for attempt in _attempts(plain, current, wanted):
        text = attempt.replace("\n", "\r\n") if carriage else attempt
        if _says(marker + text, wanted):
            return marker + text
    raise AssertionError("PyYAML reads what PyYAML writes")


def rendered(content: Content) -> str:
    """A document of its own, without a marker."""
    for text in _fresh(content):
        if _says(text, content):
            return text
    raise AssertionError("PyYAML reads what PyYAML writes")


def _attempts(body: str, current: Content, wanted: Content) -> Iterator[str]:
    """From the one that changes least to the one that is sure to be right."""
    dumped = _dumped(body, current, wanted)
    if dumped is not None:
        base, changed = dumped
        yield carry_over(body, base, changed)
        yield _with_comments(changed, body)
    for text in _fresh(wanted):
        yield _with_comments(text, body)


def _with_comments(text: str, body: str) -> str:
    """``text``, with the comments of ``body`` that it lost on top."""
    kept = {line.strip() for line in _COMMENT.findall(text)}
    lost = [line.strip() for line in _COMMENT.findall(body)]
    return "".join(f"{line}\n" for line in lost if line not in kept) + text


def _fresh(content: Content) -> Iterator[str]:
    yield _written(content)
    yield _dump(_writer(), built(content))
    yield str(yaml.safe_dump(content, sort_keys=False, width=_NO_FOLDING))


class _Dumper(yaml.CSafeDumper):
    """libyaml's writer, which takes a twentieth of ruamel.yaml's time, quoting as :func:`style_of` says."""

    def ignore_aliases(self, data: object) -> bool:
        """Nothing is said by a reference to elsewhere."""
        del data
        return True


def _represent_text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style_of(value))


_Dumper.add_representer(str, _represent_text)


def _written(content: Content) -> str:
    """As ruamel.yaml would write it, but for texts that it would break or quote in another way."""
    return str(
        yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_NO_FOLDING)
    )


def _dumped(body: str, current: Content, wanted: Content) -> tuple[str, str] | None:
    """What ruamel.yaml makes of the text, without and with the change; None if it cannot."""
    writer = _writer()
    try:
        writer.map_indent, sequence, writer.sequence_dash_offset = _indents(body)
        writer.sequence_indent = sequence
        tree = writer.load(body)
        if not isinstance(tree, CommentedMap):
            return None
        base = _dump(writer, tree)
        Editor(tree).edit_map(tree, current, wanted)
        return base, _dump(writer, tree)
    except (YAMLError, yaml.YAMLError, CannotEditError, KeyError, ValueError):
        return None


class _Representer(RoundTripRepresenter):
    """Writes floats so that readers of YAML 1.1 take them for floats: ``1.0e+22``."""


def _represent_float(representer: _Representer, value: float) -> ScalarNode:
    mantissa, exponent, power = repr(value).partition("e")
    text = f"{mantissa}{'' if '.' in mantissa or not exponent else '.0'}{exponent}{power}"
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


_Representer.add_representer(float, _represent_float)


def _writer() -> YAML:
    writer = new_yaml()
    writer.Representer = _Representer
    writer.preserve_quotes = True
    writer.width = _NO_FOLDING
    return writer


def _dump(writer: YAML, tree: object) -> str:
    text = io.StringIO()
    writer.dump(tree, text)
    return text.getvalue()


def _says(text: str, wanted: Content) -> bool:
    try:
        found = [each.content for each in read_yaml(text)]
    except DocumentError:
        return False
    return len(found) == 1 and same(found[0], wanted)


def _indents(body: str) -> tuple[int, int, int]:
    """Indentation of mappings, of sequences, and of the dash in it, as most of the text has it."""
    maps: Counter[int] = Counter()
    dashes: Counter[int] = Counter()
    root = yaml.compose(body, Loader=yaml.CSafeLoader)
    for outer, inner in _blocks(root):
        (dashes if isinstance(inner, yaml.SequenceNode) else maps)[
            inner.start_mark.column - outer.start_mark.column
        ] += 1
    mapping, dash = _most(maps, 2), _most(dashes, 0)
    return mapping, dash + 2, dash


def _most(counted: Counter[int], default: int) -> int:
    usable = [indent for indent, _ in counted.most_common() if 0 <= indent <= 8]
    return usable[0] if usable else default


def _blocks(root: yaml.Node | None) -> Iterable[tuple[yaml.Node, yaml.Node]]:
    """Keys, and the block collections below them."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                waiting.append(value)
                if isinstance(value, yaml.CollectionNode) and not value.flow_style:
                    yield key, value
