"""Plans and outcomes, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.text import Text

from fluxgate.errors import ResourceError
from fluxgate.ports.resources import Document
from fluxgate_admin.use_cases.diff import unified_diff
from fluxgate_admin.use_cases.documents import document_of, parse
from fluxgate_cli.declared.applying import Result
from fluxgate_cli.declared.plan import Action, Step
from fluxgate_cli.output import console, print_data, say
from fluxgate_operator.problems import FileProblem

_STYLES = {"+": "green", "-": "red", "@": "cyan"}
_OUTCOMES = {
    "created": "green",
    "updated": "yellow",
    "deleted": "red",
    "refused": "bold red",
    "failed": "bold red",
}
RESULT_COLUMNS = ("OUTCOME", "OBJECT", "FILE", "WHY")


def diff_of(step: Step) -> str:
    """The unified diff of a step; empty where nothing changes.

    Defaults that one side writes out and the other does not are no difference, so neither side shows them.
    """
    if not step.action.writes:
        return ""
    return unified_diff(plain(step.before), plain(step.after), str(step.ref))


def print_diff(text: str) -> None:
    """A diff; coloured on a terminal."""
    out = console()
    if not out.is_terminal:
        print_data(text)
        return
    for line in text.splitlines():
        out.print(Text(line, style=_style(line)), soft_wrap=True)


def plan_data(steps: Iterable[Step]) -> list[dict[str, Any]]:
    """A plan for programs."""
    return [
        {
            "action": each.action.value,
            "kind": each.ref.kind,
            "namespace": each.ref.namespace,
            "name": each.ref.name,
            "file": each.place,
            "owner": each.owner,
            "diff": diff_of(each),
        }
        for each in steps
    ]


def result_data(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Outcomes for programs."""
    return [
        {
            "outcome": each.outcome,
            "kind": each.step.ref.kind,
            "namespace": each.step.ref.namespace,
            "name": each.step.ref.name,
            "file": each.step.place,
            "message": each.message,
            "problems": list(each.problems),
        }
        for each in results
    ]


def result_rows(results: Iterable[Result]) -> Iterator[tuple[str | Text, ...]]:
    """Outcomes for people."""
    for each in results:
        why = each.message or "; ".join(each.problems)
        outcome = Text(each.outcome, style=_OUTCOMES.get(each.outcome, ""))
        yield outcome, str(each.step.ref), each.step.place, why


def say_problems(problems: Sequence[FileProblem]) -> None:
    """What of the files could not be read."""
    for each in problems:
        place = f"{each.file}:{each.line}:{each.column}" if each.line else each.file
        say(f"{place}: {each.subject}: {each.message}".replace(": :", ":"))


def counted(steps: Iterable[Step]) -> str:
    """``2 to create, 1 to update``, for a summary."""
    counts = Counter(each.action for each in steps)
    words = {
        Action.CREATE: "to create",
        Action.UPDATE: "to update",
        Action.DELETE: "to delete",
        Action.EXTRA: "in the set and not in the folder (--prune deletes them)",
        Action.FOREIGN: "of other sets",
        Action.KEEP: "unchanged",
    }
    return ", ".join(f"{counts[action]} {text}" for action, text in words.items() if counts[action])


def _style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return _STYLES.get(line[:1], "")


def plain(document: Document | None) -> Document | None:
    """Without fields that say their default: an API server writes out those that a user left out."""
    if document is None:
        return None
    try:
        resource = parse(document)
    except ResourceError:
        return document
    shown = document_of(resource)
    dumped = resource.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, include={"spec"}
    )
    shown["spec"] = dumped.get("spec") or {}
    return shown
