"""Two configs of one type as one: ``mergeStrategy: Append``."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from fluxgate.api.parse import field_problems
from fluxgate.api.v1alpha1 import Model
from fluxgate.translator.findings import PolicyError

M = TypeVar("M", bound=Model)


def append(near: M, wide: Model) -> M:
    """``near`` with what it leaves open taken from ``wide``, and its lists behind those of ``wide``.

    What ``near`` sets decides, value by value; entries of maps likewise. An entry that both
    lists hold stands there once. Raises :class:`~fluxgate.translator.findings.PolicyError` when the
    two do not fit together.
    """
    try:
        return type(near).model_validate(_values(near, wide), by_name=True, by_alias=False)
    except ValidationError as error:
        problems = "; ".join(map(str, field_problems(type(near), error, "config")))
        raise PolicyError("", f"mergeStrategy Append: {problems}") from None


def _values(near: Model, wide: Model) -> dict[str, object]:
    values = {name: vars(wide)[name] for name in wide.model_fields_set}
    for name in near.model_fields_set:
        values[name] = _value(vars(near)[name], values.get(name))
    return values


def _value(near: object, wide: object) -> object:
    if isinstance(near, tuple) and isinstance(wide, tuple):
        return (*wide, *(each for each in near if each not in wide))
    if isinstance(near, dict) and isinstance(wide, dict):
        return {**wide, **near}
    if isinstance(near, Model) and type(near) is type(wide):
        return append(near, wide)
    return near
