"""Whether an object is fine, and the table of those that are not.

An object that somebody switched off on purpose is fine; one that is served in part, that
waits for Envoy, that is refused or that refers to nothing is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum

from rich.text import Text

from fluxgate.status import ConditionType, Reason
from fluxgate_cli.control.models import ConditionView, ObjectView
from fluxgate_cli.output import truth


class Verdict(StrEnum):
    """How one object does."""

    FINE = "fine"
    OFF = "off"
    PARTLY = "partly"
    PENDING = "pending"
    WRONG = "wrong"


COLUMNS = ("OBJECT", "ACCEPTED", "RESOLVED", "PROGRAMMED", "PLACE", "MESSAGE")
_SHOWN = (ConditionType.ACCEPTED, ConditionType.RESOLVED_REFS, ConditionType.PROGRAMMED)
SUMMARY_COLUMNS = ("KIND", "OBJECTS", "FINE", "OFF", "PARTLY", "PENDING", "WRONG")

NOT_FINE = (Verdict.PARTLY, Verdict.PENDING, Verdict.WRONG)

_STYLES = {
    Verdict.FINE: "",
    Verdict.OFF: "dim",
    Verdict.PARTLY: "yellow",
    Verdict.PENDING: "yellow",
    Verdict.WRONG: "red",
}


def verdict(view: ObjectView) -> Verdict:
    """The worst that a condition says."""
    failed = [each for each in view.conditions if not each.status]
    if not failed:
        partly = any(each.reason == Reason.PARTIALLY_ACCEPTED for each in view.conditions)
        return Verdict.PARTLY if partly else Verdict.FINE
    if any(each.reason == Reason.DISABLED for each in failed):
        return Verdict.OFF
    if all(each.reason == Reason.PENDING for each in failed):
        return Verdict.PENDING
    return Verdict.WRONG


def summary(objects: Iterable[ObjectView]) -> Iterator[tuple[str | Text, ...]]:
    """One row a kind: how many objects do how well."""
    counts: dict[str, Counter[Verdict]] = {}
    for view in objects:
        counts.setdefault(view.kind, Counter())[verdict(view)] += 1
    for kind, found in sorted(counts.items()):
        yield (
            kind,
            str(found.total()),
            *(
                Text(str(found[each]), style=_STYLES[each] if found[each] else "dim")
                for each in Verdict
            ),
        )


def rows(objects: Iterable[ObjectView]) -> Iterator[tuple[str | Text, ...]]:
    """One row an object: its conditions, where it stands, and what is wrong with it."""
    for view in objects:
        found = {each.type: each for each in view.conditions}
        place = f"{view.file}:{view.line}" if view.line else view.file
        yield (
            f"{view.kind} {view.namespace}/{view.name}",
            *(_cell(found.get(kind)) for kind in _SHOWN),
            place,
            "; ".join(map(_words, _telling(view))),
        )


def _telling(view: ObjectView) -> list[ConditionView]:
    """The conditions that say why; that an object waits follows from what is wrong with it."""
    told = [
        each
        for each in view.conditions
        if not each.status or each.reason == Reason.PARTIALLY_ACCEPTED
    ]
    return [each for each in told if each.reason != Reason.PENDING] or told


def _cell(condition: ConditionView | None) -> Text:
    return Text("-", style="dim") if condition is None else truth(condition.status)


def _words(condition: ConditionView) -> str:
    return f"{condition.reason}: {condition.message}" if condition.message else condition.reason
