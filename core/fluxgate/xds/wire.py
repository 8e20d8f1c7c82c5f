"""Protobuf's wire format, as far as splicing ready-made messages into a larger one needs it.

A message is the concatenation of its fields, so bytes that were serialised once
can become a field of another message by writing a tag and a length before them.
Source: the Protocol Buffers documentation, "Encoding".
"""

from __future__ import annotations

from google.protobuf.message import Message

_LENGTH_DELIMITED = 2


def field_number(message: type[Message], name: str) -> int:
    """The number of a message's field, from its descriptor. Raises ``KeyError``."""
    return message.DESCRIPTOR.fields_by_name[name].number


def varint(value: int) -> bytes:
    """``value`` in base 128, least significant group first. Raises ``ValueError`` below 0."""
    if value < 0:
        raise ValueError(f"{value} is negative; only unsigned varints are written here")
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def field_header(number: int, length: int) -> bytes:
    """Tag and length of a length-delimited field whose payload has ``length`` bytes."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(length)


def field_bytes(number: int, payload: bytes) -> bytes:
    """Field ``number`` holding ``payload``: a sub-message, bytes, or a packed ``Any``."""
    return field_header(number, len(payload)) + payload


def field_string(number: int, text: str) -> bytes:
    """Field ``number`` holding ``text`` in UTF-8; nothing for the empty string, as in proto3."""
    return field_bytes(number, text.encode()) if text else b""


def any_bytes(type_url: str, payload: bytes) -> bytes:
    """A serialised ``google.protobuf.Any`` around a serialised message."""
    return field_string(1, type_url) + (field_bytes(2, payload) if payload else b"")
