"""What is new in a large collection, found without a step of Python for every member.

An edit changes one object in ten thousand; looking at each of them in a loop costs more than
all that is then done about the one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import is_
from typing import TypeVar

T = TypeVar("T")


def fresh(now: Collection[T], before: Collection[T]) -> list[T]:
    """The objects of ``now`` that are not, as the very same objects, in ``before``; in no order.

    Both must be in the same order and kept alive by the caller: what they begin and end with in
    common is passed over, and identities are what is compared of the rest.
    """
    mine, other = list(now), list(before)
    start = _in_common(mine, other)
    del mine[:start], other[:start]
    if end := _in_common(mine[::-1], other[::-1]):
        del mine[-end:], other[-end:]
    found = dict(zip(map(id, mine), mine, strict=True))
    return [found[key] for key in found.keys() - set(map(id, other))]


def _in_common(one: Sequence[T], other: Sequence[T]) -> int:
    """How many objects both begin with."""
    same = list(map(is_, one, other))
    return same.index(False) if False in same else len(same)
