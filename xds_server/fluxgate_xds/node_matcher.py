"""Which nodes a client status request asks about.

Sources: envoy/type/matcher/v3/node.proto, struct.proto, value.proto, string.proto.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envoy.type.matcher.v3 import node_pb2 as node_v3
from envoy.type.matcher.v3 import string_pb2 as string_v3
from envoy.type.matcher.v3 import struct_pb2 as struct_v3
from envoy.type.matcher.v3 import value_pb2 as value_v3

from fluxgate.errors import FluxGateError
from fluxgate.ports import NodeState


class UnsupportedMatcherError(FluxGateError):
    """A matcher of a kind that is not looked at; the message says which ones are."""


def selects(matchers: Sequence[node_v3.NodeMatcher], node: NodeState) -> bool:
    """Whether any matcher selects ``node``; no matcher selects every node.

    Raises :class:`UnsupportedMatcherError`, which says what to use instead, for regular
    expressions: they would let a reader keep the event loop busy.
    """
    return not matchers or any(_matches(matcher, node) for matcher in matchers)


def _matches(matcher: node_v3.NodeMatcher, node: NodeState) -> bool:
    named = not matcher.HasField("node_id") or _text(matcher.node_id, node.id)
    return named and all(_metadata(each, node.metadata) for each in matcher.node_metadatas)


def _metadata(matcher: struct_v3.StructMatcher, metadata: Mapping[str, object]) -> bool:
    """Follow the path of keys; a path that leads nowhere finds nothing."""
    value: object = metadata
    for segment in matcher.path:
        if not isinstance(value, Mapping) or segment.key not in value:
            return False
        value = value[segment.key]
    return _value(matcher.value, value)


def _value(matcher: value_v3.ValueMatcher, value: object) -> bool:
    match matcher.WhichOneof("match_pattern"):
        case "null_match":
            return value is None
        case "bool_match":
            return value is matcher.bool_match
        case "string_match":
            return isinstance(value, str) and _text(matcher.string_match, value)
        case "present_match":
            return bool(matcher.present_match)
        case "double_match" if isinstance(value, int | float) and not isinstance(value, bool):
            number = matcher.double_match
            if number.WhichOneof("match_pattern") == "range":
                return bool(number.range.start <= value < number.range.end)
            return bool(number.exact == value)
        case "double_match":
            return False
        case "list_match":
            return isinstance(value, list) and any(
                _value(matcher.list_match.one_of, each) for each in value
            )
        case kind:
            raise UnsupportedMatcherError(f"metadata matcher {kind!r} is not supported")


def _text(pattern: string_v3.StringMatcher, text: str) -> bool:
    kind = pattern.WhichOneof("match_pattern")
    if kind not in {"exact", "prefix", "suffix", "contains"}:
        raise UnsupportedMatcherError(
            f"string matcher {kind!r}; use exact, prefix, suffix, contains"
        )
    wanted: str = getattr(pattern, kind)
    if pattern.ignore_case:
        wanted, text = wanted.lower(), text.lower()
    outcome: dict[str, bool] = {
        "exact": text == wanted,
        "prefix": text.startswith(wanted),
        "suffix": text.endswith(wanted),
        "contains": wanted in text,
    }
    return outcome[kind]
