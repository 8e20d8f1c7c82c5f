"""Tries changes against what is there now, and stores nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import Difference, Finding, FindingSource, Proposal, Trial
from fluxgate.resources import Object, Resources
from fluxgate_operator.culprits import Validator
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.reconciler import Reconciliation
from fluxgate_operator.trial.asking import EnvoyQuestion
from fluxgate_operator.trial.changes import difference, gateway_changes, object_diffs
from fluxgate_operator.trial.conditions import condition_findings
from fluxgate_operator.trial.overlay import Adjust, Overlay, read_proposals
from fluxgate_operator.trial.supply import Supply
from fluxgate_operator.trial.workbench import Workbench

_NOT_READY = "not everything has been read yet, so nothing was tried"


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """``most`` trials at a time, waiting ones included; ``remembered`` outcomes are kept."""

    most: int = 32
    remembered: int = 64


@dataclass(slots=True)
class _Draft:
    """What is known so far: all that is left when time runs out."""

    findings: list[Finding] = field(default_factory=list)
    difference: Difference = field(default_factory=Difference)
    asked: bool = False
    cached: bool = False
    notes: list[str] = field(default_factory=list)

    def done(self) -> Trial:
        findings = tuple(dict.fromkeys(self.findings))
        note = "; ".join(self.notes)
        return Trial(findings, self.difference, self.asked, self.cached, note)


class Trials:
    """See :class:`fluxgate.ports.TrialRunner`.

    ``current`` gives the last turn, ``pipeline`` has caches of its own, ``adjust`` is what the
    provider makes of objects before they are stored.
    """

    def __init__(
        self,
        current: Callable[[], Reconciliation | None],
        pipeline: CachedPipeline,
        validator: Validator,
        supply: Supply,
        log: FilteringBoundLogger,
        adjust: Adjust = lambda obj: obj,
        settings: TrialSettings | None = None,
    ) -> None:
        self._current = current
        self._workbench = Workbench(pipeline)
        self._question = EnvoyQuestion(validator)
        self._supply = supply
        self._log = log
        self._adjust = adjust
        self._settings = settings or TrialSettings()
        self._running = 0
        self._known: OrderedDict[str, tuple[Resources, object, Trial]] = OrderedDict()

    async def prepare(self) -> None:
        """Fill the caches with what is there, so that the first trial is as quick as the others.

        Never raises: the trials themselves say what is wrong.
        """
        if (turn := self._current()) is None:
            return
        try:
            await self._workbench.prepare(turn)
        except Exception:  # noqa: BLE001 - see above
            self._log.exception("preparing trials failed")

    async def try_out(self, proposals: Sequence[Proposal], *, seconds: float = 10.0) -> Trial:
        """What ``proposals`` would do, all together. Never raises for what they hold.

        After ``seconds`` what is known by then counts, and ``note`` says what is missing.
        """
        turn = self._current()
        if turn is None:
            return Trial(note=_NOT_READY)
        key = _digest(proposals)
        known = self._known.get(key)
        if known is not None and known[0] is turn.resources and known[1] is turn.set_aside:
            return replace(known[2], cached=True)
        if self._running >= self._settings.most:
            return Trial(note=f"{self._running} trials are running, so this was not tried")
        draft = _Draft()
        self._running += 1
        try:
            async with asyncio.timeout(seconds):
                await self._try(turn, proposals, draft)
        except TimeoutError:
            draft.notes.append(f"not everything was tried within {seconds:g} s")
        except Exception as error:  # noqa: BLE001 - a bug must not let an untried change through
            self._log.exception("a trial failed")
            draft.findings.append(_bug(error))
        finally:
            self._running -= 1
        found = draft.done()
        if not found.note:
            self._remember(key, turn, found)
        return found

    async def _try(
        self, turn: Reconciliation, proposals: Sequence[Proposal], draft: _Draft
    ) -> None:
        base = turn.resources
        overlay = read_proposals(base, proposals, self._adjust)
        draft.difference = Difference(objects=object_diffs(base, overlay.objects))
        if overlay.findings:
            draft.findings += overlay.findings
            draft.notes.append("translation and Envoy come after what the models refuse")
            return
        more = await self._missing(base, overlay)
        outcome = await self._workbench.build(turn, overlay, more)
        before, after = outcome.before.statuses, outcome.after.statuses
        draft.findings += condition_findings(proposals, before, after)
        draft.difference = difference(base, outcome, overlay.objects)
        changes = tuple(gateway_changes(outcome))
        if changes and not any(each.fatal for each in draft.findings):
            answer = await self._question.ask(changes, outcome, turn.set_aside, proposals)
            draft.findings += answer.findings
            draft.asked, draft.cached = answer.asked, answer.cached
            draft.notes += [answer.note] if answer.note else []

    async def _missing(self, base: Resources, overlay: Overlay) -> list[Object]:
        proposed = [each for each in overlay.objects.values() if each is not None]
        return await self._supply.missing(base, proposed)

    def _remember(self, key: str, turn: Reconciliation, found: Trial) -> None:
        self._known[key] = (turn.resources, turn.set_aside, found)
        self._known.move_to_end(key)
        if len(self._known) > self._settings.remembered:
            self._known.popitem(last=False)


def _digest(proposals: Sequence[Proposal]) -> str:
    text = json.dumps(
        [[*each.ref, each.document] for each in proposals], sort_keys=True, default=repr
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _bug(error: Exception) -> Finding:
    words = (
        f"the configuration cannot be built with it ({type(error).__name__}); please report this"
    )
    return Finding(FindingSource.TRANSLATION, None, "", words, reason="InternalError")
