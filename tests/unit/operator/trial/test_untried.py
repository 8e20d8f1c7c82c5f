"""Trials that do not come to their end: for want of a turn, of time, or of an Envoy."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from unit.operator.trial.stage import Stage, changes, made, route

from fluxgate.ports import FindingSource, Untried
from fluxgate.translator import Translation, translate
from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.envoy.validate import Verdict
from fluxgate_operator.trial import TrialSettings
from fluxgate_operator.trial.asking import MOST_CULPRITS

CODE_ALLOWED = made(
    "GatewayConfig",
    "main",
    listeners=[{"name": "http", "address": "127.0.0.1", "port": 8080}],
    extensions={"allow": ["lua"]},
)
SCRIPT = {"type": "lua", "config": {"source": "while true do end"}}


async def test_an_envoy_that_does_not_answer_is_told_and_no_refusal() -> None:
    stage = Stage()
    stage.judge.words, stage.judge.verdict = [b"/slow"], Verdict.UNKNOWN

    trial = await stage.attempt(route("a", "/slow"))

    assert trial.ok
    assert not trial.asked_envoy
    assert trial.untried is Untried.ENVOY_SILENT
    assert "could not check" in trial.note


async def test_where_there_is_no_envoy_that_is_told_and_code_is_refused() -> None:
    stage = Stage(validator=NoValidator("there is no Envoy"))
    stage.put(CODE_ALLOWED)

    plain = await stage.attempt(route("a"))
    code = await stage.attempt(route("b", plugins=[SCRIPT]))

    assert (plain.ok, plain.untried, plain.asked_envoy) == (True, Untried.NO_ENVOY, False)
    assert (code.ok, code.untried, code.asked_envoy) == (False, Untried.NO_ENVOY, False)


async def test_code_that_envoy_does_not_get_done_with_is_refused() -> None:
    stage = Stage()
    stage.put(CODE_ALLOWED)
    stage.judge.words, stage.judge.verdict = [b"while true"], Verdict.UNKNOWN

    trial = await stage.attempt(route("a", plugins=[SCRIPT]))

    assert not trial.ok, trial
    assert trial.findings[0].source is FindingSource.ENVOY


async def test_time_is_bounded_and_what_is_known_by_then_counts() -> None:
    stage = Stage()
    stage.judge.open.clear()

    trial = await stage.attempt(route("a", workspace="demo"), seconds=0.2)

    assert trial.untried is Untried.OUT_OF_TIME
    assert trial.note == "not everything was tried within 0.2 s"
    assert [each.reason for each in trial.findings] == ["PartiallyAccepted"]
    assert changes(trial)
    assert not trial.asked_envoy


async def test_who_comes_when_there_are_too_many_waits_in_line() -> None:
    stage = Stage(settings=TrialSettings(most=1))
    stage.judge.open.clear()
    first = asyncio.create_task(stage.attempt(route("a")))
    await stage.judge.asked.wait()
    others = [asyncio.create_task(stage.attempt(route(name))) for name in "bcd"]
    # woken after those three were begun
    stage.judge.open.set()

    trials = await asyncio.gather(first, *others)

    assert [(each.asked_envoy, each.untried) for each in trials] == [(True, None)] * 4


async def test_whose_time_runs_out_in_line_is_told_that_nothing_was_tried() -> None:
    stage = Stage(settings=TrialSettings(most=1))
    stage.judge.open.clear()
    first = asyncio.create_task(stage.attempt(route("a")))
    await stage.judge.asked.wait()

    second = await stage.attempt(route("b"), seconds=0.05)
    stage.judge.open.set()

    assert second.untried is Untried.BUSY
    assert not second.asked_envoy
    assert (await first).asked_envoy
    assert (await stage.attempt(route("b"))).untried is None


async def test_whose_turn_to_be_translated_does_not_come_in_time_is_told_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    begun, go = threading.Event(), threading.Event()

    def slow(*given: Any) -> Translation:
        begun.set()
        assert go.wait(60)
        return translate(*given)

    monkeypatch.setattr("fluxgate_operator.pipeline.translate", slow)
    first = asyncio.create_task(stage.attempt(route("a"), seconds=60))
    await asyncio.to_thread(begun.wait, 60)
    second = await stage.attempt(route("b"), seconds=0.05)
    go.set()

    assert second.untried is Untried.BUSY
    assert (await first).untried is None


async def test_a_translation_that_is_not_done_in_time_is_no_matter_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    go = threading.Event()

    def slow(*given: Any) -> Translation:
        assert go.wait(60)
        return translate(*given)

    monkeypatch.setattr("fluxgate_operator.pipeline.translate", slow)
    trial = await stage.attempt(route("a"), seconds=0.2)
    go.set()

    assert trial.untried is Untried.OUT_OF_TIME
    assert trial.ok
    assert [ref.name for ref, _ in trial.difference.objects] == ["a"]


async def test_code_that_envoy_has_no_time_to_load_is_refused() -> None:
    stage = Stage()
    stage.put(CODE_ALLOWED)
    stage.judge.open.clear()

    trial = await stage.attempt(route("plain"), route("a", plugins=[SCRIPT]), seconds=0.2)

    assert trial.untried is Untried.OUT_OF_TIME
    assert [(each.proposal, each.reason) for each in trial.findings if each.fatal] == [
        (1, "EnvoyUnavailable")
    ]


async def test_who_envoy_refuses_together_is_refused_when_there_is_no_time_to_tell_them_apart() -> (
    None
):
    stage = Stage()
    stage.judge.words, stage.judge.answers = [b"/refused"], 1

    trial = await stage.attempt(route("a"), route("bad", "/refused"), seconds=0.5)

    assert trial.untried is Untried.OUT_OF_TIME
    assert {each.proposal for each in trial.findings if each.fatal} == {0, 1}
    assert "which of these 2 changes it means was not found" in trial.findings[0].message


async def test_one_trial_names_no_more_than_some_of_those_whom_envoy_refuses() -> None:
    stage = Stage()
    stage.judge.words = [b"/refused"]
    bad = [route(f"bad{number:02}", f"/refused/{number}") for number in range(20)]

    trial = await stage.attempt(*bad)

    assert len({each.proposal for each in trial.findings}) == MOST_CULPRITS
    assert len(stage.judge.seen) < 12 * MOST_CULPRITS


async def test_before_everything_is_read_nothing_is_tried() -> None:
    stage = Stage()
    stage.reconciler.current = None

    trial = await stage.attempt(route("a"))

    assert trial.untried is Untried.NOT_READY
    assert not trial.asked_envoy


async def test_what_comes_after_a_refusal_is_told_as_not_asked() -> None:
    stage = Stage(route("there", "/taken"))

    models = await stage.attempt(made("Backend", "a", url="nonsense"))
    translation = await stage.attempt(route("a", to="nobody"))

    assert (models.untried, translation.untried) == (Untried.REFUSED, Untried.REFUSED)
    assert "translation and Envoy come after" in models.note
    assert "Envoy comes after" in translation.note
