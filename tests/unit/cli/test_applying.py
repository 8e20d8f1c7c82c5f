"""An apply that ends before its time says what was made, and what nobody knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from fluxgate.resources import ObjectRef
from fluxgate_cli.admin_client.api import AdminApi
from fluxgate_cli.commands.apply import judge, show
from fluxgate_cli.declared.applying import MOST, Applied, How, apply_steps
from fluxgate_cli.declared.folder import Declared
from fluxgate_cli.declared.making import Plan
from fluxgate_cli.declared.plan import Action, Step
from fluxgate_cli.errors import CliError, ExitCode, NotRunningError, RefusedError
from fluxgate_cli.output import DataFormat

GONE = NotRunningError("the admin API at http://127.0.0.1:1 does not answer: refused", "Is it?")


def step(number: int) -> Step:
    ref = ObjectRef("Backend", "default", f"b{number}")
    document: dict[str, Any] = {
        "kind": "Backend",
        "metadata": {"name": ref.name, "namespace": "default"},
    }
    return Step(ref, Action.CREATE, None, document)


STEPS = tuple(step(number) for number in range(3 * MOST - 10))


@dataclass
class Api:
    """Answers every write that is not in ``ends``; that one ends so."""

    ends: dict[int, BaseException]
    asked: list[int] = field(default_factory=list)

    def ask(self, _method: str, _path: str, _query: object, body: Any, **_: object) -> Any:
        self.asked.append(len(body["objects"]))
        if (error := self.ends.get(len(self.asked))) is not None:
            raise error
        return httpx.Response(200, json={"results": [{"outcome": "created"}] * self.asked[-1]})


def applied_by(api: Api, **how: Any) -> Applied:
    return apply_steps(cast("AdminApi", api), STEPS, How(**how), lambda _: None)


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, "interrupted"),
        (GONE, ExitCode.NOT_RUNNING, "does not answer"),
    ],
)
def test_a_write_that_gets_no_answer_ends_it_and_what_was_answered_is_told(
    end: BaseException, code: ExitCode, words: str
) -> None:
    api = Api({2: end})
    applied = applied_by(api)
    assert api.asked == [MOST, MOST]
    assert [each.outcome for each in applied.results] == ["created"] * MOST
    with pytest.raises(CliError) as told:
        judge(plan(), applied, How())
    assert told.value.exit_code == code
    assert words in told.value.message
    assert f"{MOST} of {len(STEPS)} changes were answered" in told.value.remedy
    assert f"the {MOST} that were sent last may have been made" in told.value.remedy
    assert "Apply again" in told.value.remedy


def test_a_dry_run_that_is_interrupted_leaves_no_doubt_about_changes() -> None:
    applied = apply_steps(
        cast("AdminApi", Api({1: KeyboardInterrupt()})),
        STEPS[:5],
        How(dry_run=True),
        lambda _: None,
    )
    assert applied.stopped is not None
    assert "may have been made" not in applied.stopped.remedy


def test_a_write_that_is_refused_as_a_whole_does_not_end_it() -> None:
    applied = applied_by(Api({2: RefusedError("no", status=403)}))
    assert applied.stopped is None
    assert [each.outcome for each in applied.results].count("failed") == MOST
    assert len(applied.results) == len(STEPS)


def test_a_program_reads_what_was_made_and_why_there_is_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(plan(), applied_by(Api({2: KeyboardInterrupt()})), DataFormat.YAML, show_all=False)
    printed = capsys.readouterr().out
    assert printed.count("outcome: created") == MOST
    assert "interrupted. 250 of 740" in printed


def plan() -> Plan:
    return Plan(STEPS, Declared({}, {}, (), ()), Path("config"))
