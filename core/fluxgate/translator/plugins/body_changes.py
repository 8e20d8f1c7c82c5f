"""Changes of JSON bodies as configs say them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.ir.policies.transform import BodyChange, BodyChanges, Change, Source, Step
from fluxgate.translator.plugins.templates import (
    OF_REQUEST,
    OF_RESPONSE,
    REQUEST_VALUES,
    RESPONSE_VALUES,
    parse_template,
)

MAX_BODY_BYTES = 4 * 1024 * 1024
_MAX_VALUE = 8192
_MAX_STEPS = 16
_ESCAPE = re.compile(r"~(?![01])")


def steps_of(path: str) -> tuple[Step, ...]:
    """The steps of a JSON Pointer (RFC 6901), or of a dotted path, where ``*`` is every member.

    Raises ``ValueError`` when ``path`` is neither.
    """
    if path.startswith("/"):
        if _ESCAPE.search(path):
            raise ValueError(f"{path!r}: in a JSON Pointer ~ stands only in ~0 (~) and ~1 (/)")
        steps: list[Step] = [
            each.replace("~1", "/").replace("~0", "~") for each in path[1:].split("/")
        ]
    else:
        steps = [None if each == "*" else each for each in path.split(".")]
        if "" in steps:
            raise ValueError(f"{path!r} has an empty step; write a JSON Pointer for such a name")
    if len(steps) > _MAX_STEPS:
        raise ValueError(f"{path!r} has {len(steps)} steps; at most {_MAX_STEPS} are allowed")
    return tuple(steps)


def _check_path(path: str) -> str:
    steps_of(path)
    return path


def _check_field(path: str) -> str:
    if steps_of(path)[-1] is None:
        raise ValueError(f"{path!r} ends in *; name the field")
    return path


def _check_value(known: frozenset[Source], value: JsonValue) -> JsonValue:
    if isinstance(value, str):
        parse_template(value, known)
    if len(json.dumps(value)) > _MAX_VALUE:
        raise ValueError(f"is larger than {_MAX_VALUE} bytes as JSON")
    return value


def _check_request_value(value: JsonValue) -> JsonValue:
    return _check_value(OF_REQUEST, value)


def _check_response_value(value: JsonValue) -> JsonValue:
    return _check_value(OF_RESPONSE, value)


_PATH = StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=512)
BodyPath = Annotated[str, _PATH, AfterValidator(_check_path)]
"""`user.name`, `items.*.price` or `/user/name`; numbers are places in arrays, from 0."""
FieldPath = Annotated[str, _PATH, AfterValidator(_check_field)]
"""As :data:`BodyPath`, to one field."""
FieldName = Annotated[str, _PATH]

RequestValues = Annotated[
    dict[FieldPath, Annotated[JsonValue, AfterValidator(_check_request_value)]],
    Field(max_length=64),
]
ResponseValues = Annotated[
    dict[FieldPath, Annotated[JsonValue, AfterValidator(_check_response_value)]],
    Field(max_length=64),
]
Removed = Annotated[tuple[BodyPath, ...], Field(max_length=64)]
Renamed = Annotated[dict[FieldPath, FieldName], Field(max_length=64)]
MaxBytes = Annotated[int, Field(ge=1, le=MAX_BODY_BYTES)]
_SIZE = "The largest body that is changed, in bytes; a larger one is refused."
_OTHER = (
    "What happens to bodies of another content type than JSON: Pass leaves them as they are. Bodies "
    "that say they are JSON and are not, or are compressed, are refused in any case."
)


class RequestBodyChanges(Model):
    """Changes of JSON bodies: rename, remove, set, add, in this order.

    Paths are dotted (`user.name`, `items.*.price`, numbers from 0 for arrays) or JSON Pointers
    (`/user/name`). The rest keeps its order and its spelling, numbers too; only white space goes.
    """

    set: RequestValues = Field(
        default_factory=dict,
        description="Replace a field or make it, with what leads to it, by any JSON value. "
        f"Strings are templates. {REQUEST_VALUES}",
    )
    add: RequestValues = Field(
        default_factory=dict, description="Make a field where there is none yet."
    )
    rename: Renamed = Field(
        default_factory=dict, description="Path to the new name of the field, in the same object."
    )
    remove: Removed = Field(default=(), description="Paths.")
    max_bytes: MaxBytes = Field(default=1_048_576, description=_SIZE)
    non_json: Literal["Pass", "Refuse"] = Field(default="Pass", description=_OTHER)


class ResponseBodyChanges(RequestBodyChanges):
    """Changes of JSON bodies: rename, remove, set, add, in this order.

    Paths are dotted (`user.name`, `items.*.price`, numbers from 0 for arrays) or JSON Pointers
    (`/user/name`). The rest keeps its order and its spelling, numbers too; only white space goes.
    """

    set: ResponseValues = Field(
        default_factory=dict,
        description="Replace a field or make it, with what leads to it, by any JSON value. "
        f"Strings are templates. {RESPONSE_VALUES}",
    )
    add: ResponseValues = Field(
        default_factory=dict, description="Make a field where there is none yet."
    )


def body_changes(config: RequestBodyChanges) -> BodyChanges | None:
    """What ``config`` says, in the order in which it happens (maps by path); None for nothing."""
    known = OF_RESPONSE if isinstance(config, ResponseBodyChanges) else OF_REQUEST
    changes = tuple(_changes(config, known))
    if not changes and config.non_json == "Pass":
        return None
    return BodyChanges(changes, config.max_bytes, config.non_json == "Refuse")


def _changes(config: RequestBodyChanges, known: frozenset[Source]) -> Iterator[BodyChange]:
    for path, name in sorted(config.rename.items()):
        yield BodyChange(Change.RENAME, steps_of(path), to=name)
    for path in config.remove:
        yield BodyChange(Change.REMOVE, steps_of(path))
    for change, values in ((Change.SET, config.set), (Change.ADD, config.add)):
        for path, value in sorted(values.items()):
            yield _valued(change, path, value, known)


def _valued(change: Change, path: str, value: JsonValue, known: frozenset[Source]) -> BodyChange:
    steps = steps_of(path)
    if isinstance(value, str):
        return BodyChange(change, steps, parse_template(value, known))
    return BodyChange(change, steps, json=json.dumps(value, separators=(",", ":")))
