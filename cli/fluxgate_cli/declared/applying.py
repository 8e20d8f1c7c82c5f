"""Making a plan true, many objects in one write."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fluxgate_cli.admin_client.api import AdminApi
from fluxgate_cli.declared.plan import Action, Step, in_batches
from fluxgate_cli.errors import CliError, CutShortError, NotRunningError

APPLY = "/v2/objects:apply"
MOST = 250
"""Objects of one write: few enough for a progress bar to move, enough for 7,500 in a minute of the API's limit."""
MOST_AT_ONCE = 500
"""The most that one write may have; a dry run cannot be split."""
MOST_BYTES = 512 * 1024
"""Half of what the API reads by default."""
BATCH_SECONDS = 120.0
"""Seconds a batch may take besides waiting for the proof."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a step; ``outcome`` is the API's word, or ``failed`` for a whole batch that was refused.

    ``found_by`` is who found a problem, where that is worth knowing: ``envoy``, or ``store`` that keeps the objects.
    """

    step: Step
    outcome: str
    message: str = ""
    problems: tuple[str, ...] = ()
    found_by: str = ""

    @property
    def bad(self) -> bool:
        """Whether the object is not as the folder says."""
        return self.outcome in ("refused", "failed")


@dataclass(frozen=True, slots=True)
class Applied:
    """All results, and who serves them. ``note`` says what was not tried, ``warnings`` what that may mean.

    ``stopped`` is why there are no more results: the API went away, or the user wanted no more.
    """

    results: tuple[Result, ...]
    sync_status: str
    sync_message: str = ""
    pending: tuple[str, ...] = ()
    checked_by_envoy: bool = False
    note: str = ""
    warnings: tuple[str, ...] = ()
    stopped: CliError | None = None


@dataclass(frozen=True, slots=True)
class How:
    """How the writes are made; ``seconds`` is how long the last one waits for the proof."""

    reason: str = ""
    dry_run: bool = False
    wait: bool = True
    seconds: float = 60.0
    force: bool = False


def apply_steps(
    api: AdminApi, steps: Sequence[Step], how: How, advance: Callable[[int], None]
) -> Applied:
    """Write every step that writes. Only the last batch waits: what every node serves then includes the others.

    A batch that is refused as a whole does not stop the others; an API that is gone does, and an interruption.
    """
    todo = [each for each in steps if each.action.writes]
    items = {each.ref: _item(each) for each in todo}
    cost = {ref: len(json.dumps(item, ensure_ascii=False).encode()) for ref, item in items.items()}
    most = MOST_AT_ONCE if how.dry_run else MOST
    batches = list(in_batches(todo, most, MOST_BYTES, cost))
    results: list[Result] = []
    answer: dict[str, Any] = {}
    warnings: list[str] = []
    stopped: CliError | None = None
    for index, batch in enumerate(batches):
        last = index == len(batches) - 1
        body = {"objects": [items[each.ref] for each in batch]}
        try:
            answer = _send(api, body, how, wait=how.wait and last)
        except (NotRunningError, KeyboardInterrupt) as error:
            stopped = _stopped(error, len(results), len(todo), 0 if how.dry_run else len(batch))
            break
        except CliError as error:
            results += [Result(each, "failed", error.message) for each in batch]
        else:
            results += _results(batch, answer)
            warnings += map(_problem, answer.get("warnings") or ())
        advance(len(batch))
    pending = (f"{each['node']}: {each['message']}" for each in answer.get("pending_nodes") or ())
    return Applied(
        tuple(results),
        str(answer.get("sync_status") or ""),
        str(answer.get("sync_message") or ""),
        tuple(pending),
        bool(answer.get("checked_by_envoy")),
        str(answer.get("note") or ""),
        tuple(dict.fromkeys(warnings)),
        stopped,
    )


def _stopped(error: BaseException, answered: int, total: int, sent: int) -> CliError:
    """What is known when ``answered`` of ``total`` writes were answered, and the ``sent`` next ones were not."""
    known = f"{answered} of {total} changes were answered"
    doubtful = f"; the {sent} that were sent last may have been made" if sent else ""
    remedy = f"{known}{doubtful}. Apply again: what is made already stays as it is."
    if isinstance(error, CliError):
        return NotRunningError(error.message, remedy)
    return CutShortError("interrupted", remedy)


def _send(api: AdminApi, body: object, how: How, *, wait: bool) -> dict[str, Any]:
    query = {
        "wait": "all" if wait else "none",
        "timeout": how.seconds if wait and how.seconds > 0 else None,
        "reason": how.reason,
        "dry_run": True if how.dry_run else None,
        "force": True if how.force else None,
    }
    response = api.ask("POST", APPLY, query, body, seconds=BATCH_SECONDS + how.seconds)
    found: dict[str, Any] = response.json()
    return found


def _item(step: Step) -> dict[str, Any]:
    if step.action is Action.DELETE:
        ref = {"kind": step.ref.kind, "namespace": step.ref.namespace, "name": step.ref.name}
        return {"delete": ref, "etag": step.etag}
    return {"document": step.after, "etag": step.etag}


def _results(batch: Sequence[Step], answer: dict[str, Any]) -> Iterator[Result]:
    for step, shown in zip(batch, answer["results"], strict=True):
        found = (*(shown.get("problems") or ()), *(shown.get("warnings") or ()))
        problems = tuple(map(_problem, found))
        message = "; ".join(problems) if shown.get("problems") else shown.get("message") or ""
        yield Result(step, shown["outcome"], message, problems, _found_by(shown, found))


def _found_by(shown: dict[str, Any], found: Sequence[dict[str, Any]]) -> str:
    if shown.get("error") == "not_permitted":
        return "store"
    sources = {each.get("source") for each in found}
    return next((each for each in ("envoy", "store") if each in sources), "")


def _problem(shown: dict[str, Any]) -> str:
    """``/spec/matches/0/path/value: must start with /``; another object that suffers is named."""
    place = _within(shown.get("pointer") or "")
    whose = shown.get("object") or ""
    return ": ".join(filter(None, (whose, place, shown["message"])))


def _within(pointer: str) -> str:
    """The part of a pointer that leads into the object: ``/objects/3/document/spec`` -> ``/spec``."""
    parts = pointer.split("/", 4)
    return f"/{parts[4]}" if len(parts) == 5 else ""
