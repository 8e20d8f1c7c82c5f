"""Rules between the fields of one model, said once for Python and for the API server.

Every model lists its rules in the class variable ``rules``. The models' own
validator runs ``holds``; :mod:`fluxgate.api.crd` writes ``cel`` into the schema
(``x-kubernetes-validations``). The two stand side by side so that they cannot drift;
tests feed both the same objects.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``field`` is the JSON name of the field to blame, empty for the whole object.

    ``cel`` sees the object as ``self`` with scalar defaults filled in, as the API
    server evaluates it; fields without a scalar default need ``has()``. With ``list_keys``
    there is no CEL: ``field`` is a list whose items are told apart by these fields of theirs, and
    the schema says so itself (``x-kubernetes-list-map-keys``).
    """

    field: str
    message: str
    cel: str
    holds: Callable[[Any], bool]
    list_keys: tuple[str, ...] = ()


def unique(values: Iterable[Hashable]) -> bool:
    """Whether no value occurs twice."""
    listed = list(values)
    return len(set(listed)) == len(listed)


def unique_by(field: str, message: str, *keys: str) -> Rule:
    """No two items of the list ``field`` agree in all ``keys``, which are required there.

    A schema of its own instead of CEL: comparing every item with every other costs more than the
    API server allows for lists of hundreds, and server-side apply merges such lists by item.
    """

    def holds(model: object) -> bool:
        return unique(tuple(getattr(item, key) for key in keys) for item in getattr(model, field))

    return Rule(field, message, "", holds, keys)


def how_many(*values: object) -> int:
    """How many of ``values`` are given (not None)."""
    return sum(value is not None for value in values)
