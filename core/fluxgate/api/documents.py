"""Documents as they come out of a YAML or JSON parser, made safe to validate.

YAML yields more than JSON can say: dates, bytes, keys that are not strings,
numbers without a value, objects that hold themselves. The API server would never see such
things, so they are refused here with the path of the place.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

from fluxgate.errors import FieldProblem

MAX_DEPTH = 64
MAX_INTEGER = 2**63


def join(path: str, key: object) -> str:
    """The JSON path of ``key`` below ``path``."""
    if isinstance(key, int) and not isinstance(key, bool):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def normalise(value: object, path: str, problems: list[FieldProblem], depth: int = 0) -> object:
    """``value`` in JSON's own types; adds to ``problems`` what JSON cannot say.

    Dates become RFC 3339 text, as kubectl makes of them.
    """
    if depth > MAX_DEPTH:
        problems.append(FieldProblem(path, f"nested more than {MAX_DEPTH} levels deep"))
        return None
    if isinstance(value, Mapping):
        return _normalise_mapping(value, path, problems, depth)
    if isinstance(value, list | tuple):
        return [
            normalise(each, join(path, index), problems, depth + 1)
            for index, each in enumerate(value)
        ]
    return _normalise_scalar(value, path, problems)


def _normalise_mapping(
    value: Mapping[object, object], path: str, problems: list[FieldProblem], depth: int
) -> dict[str, object]:
    result: dict[str, object] = {}
    for key, each in value.items():
        if not isinstance(key, str) or not _is_unicode(key):
            problems.append(FieldProblem(path, f"the key {key!r} is not text; put it in quotes"))
            continue
        result[key] = normalise(each, join(path, key), problems, depth + 1)
    return result


def _normalise_scalar(value: object, path: str, problems: list[FieldProblem]) -> object:
    match value:
        case None | bool():
            return value
        case int() if abs(value) < MAX_INTEGER:
            return value
        case int():
            problems.append(FieldProblem(path, "the number does not fit into 64 bits"))
        case float() if math.isfinite(value):
            return value
        case float():
            problems.append(FieldProblem(path, f"{value} is not a number JSON knows"))
        case str() if _is_unicode(value):
            return value
        case str():
            problems.append(FieldProblem(path, "the text is not valid Unicode"))
        case dt.datetime() | dt.date():
            return _timestamp(value)
        case _:
            problems.append(
                FieldProblem(path, f"a {type(value).__name__} has no place here; put it in quotes")
            )
    return None


def _timestamp(value: dt.date) -> str:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return value.isoformat().replace("+00:00", "Z")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
