"""Tries changes against what is there now, and stores nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import Difference, Finding, FindingSource, Proposal, Trial, Untried
from fluxgate.resources import Object, Resources
from fluxgate_operator.culprits import Validator
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.reconciler import Reconciliation
from fluxgate_operator.trial.asking import Answer, EnvoyQuestion
from fluxgate_operator.trial.changes import difference, gateway_changes, object_diffs
from fluxgate_operator.trial.conditions import condition_findings
from fluxgate_operator.trial.overlay import Adjust, Overlay, read_proposals
from fluxgate_operator.trial.supply import Supply
from fluxgate_operator.trial.workbench import Workbench

_NOT_READY = "not everything has been read yet, so nothing was tried"


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """``most`` trials are under way at a time, others wait in line; ``remembered`` outcomes are kept."""

    most: int = 32
    remembered: int = 64


@dataclass(slots=True)
class _Draft:
    """What is known so far: all that is left when time runs out.

    ``waits``: others are before it. ``fetched``: it depends on more than the world it was tried in.
    """

    findings: list[Finding] = field(default_factory=list)
    difference: Difference = field(default_factory=Difference)
    envoy: Answer = field(default_factory=Answer)
    untried: Untried | None = None
    note: str = ""
    waits: bool = True
    fetched: bool = False

    def turn(self) -> None:
        """Nobody is before it any more."""
        self.waits = False

    def refused(self, why: str) -> None:
        """Who comes next is not asked."""
        self.untried, self.note = Untried.REFUSED, why

    def late(self, seconds: float) -> None:
        """Time ran out; what nobody cleared of suspicion is refused."""
        self.findings += self.envoy.suspects
        self.untried = Untried.BUSY if self.waits else Untried.OUT_OF_TIME
        self.note = f"not everything was tried within {seconds:g} s"
        if self.waits:
            self.note = f"others are being tried; its turn did not come within {seconds:g} s"

    def done(self) -> Trial:
        findings = tuple(dict.fromkeys((*self.findings, *self.envoy.findings)))
        notes = (*self.envoy.notes, *([self.note] if self.note else []))
        remembered = self.envoy.remembered
        return Trial(
            findings,
            self.difference,
            self.envoy.asked and self.untried is None,
            bool(remembered) and all(remembered),
            "; ".join(notes),
            self.untried or self.envoy.untried,
        )


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
        self._line = asyncio.Semaphore(self._settings.most)
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

        After ``seconds``, waiting in line included, what is known by then counts.
        """
        key = _digest(proposals)
        if (known := self._remembered(key)) is not None:
            return known
        draft = _Draft()
        try:
            async with asyncio.timeout(seconds), self._line:
                turn = self._current()
                if turn is None:
                    return Trial(note=_NOT_READY, untried=Untried.NOT_READY)
                await self._try(turn, proposals, draft)
        except TimeoutError:
            draft.late(seconds)
            return draft.done()
        except Exception as error:  # noqa: BLE001 - a bug must not let an untried change through
            self._log.exception("a trial failed")
            draft.findings.append(_bug(error))
            return draft.done()
        found = draft.done()
        if found.untried is None and not draft.fetched:
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
            draft.refused("translation and Envoy come after what the models refuse")
            return
        draft.waits = False
        more = await self._missing(base, overlay)
        draft.waits, draft.fetched = True, bool(more)
        outcome = await self._workbench.build(turn, overlay, more, draft.turn)
        before, after = outcome.before.statuses, outcome.after.statuses
        draft.findings += condition_findings(proposals, before, after)
        draft.difference = difference(base, outcome, overlay.objects)
        changes = tuple(gateway_changes(outcome))
        if any(each.fatal for each in draft.findings):
            draft.refused("Envoy comes after what the translation refuses")
        elif changes:
            await self._question.ask(changes, outcome, turn.set_aside, proposals, draft.envoy)

    async def _missing(self, base: Resources, overlay: Overlay) -> list[Object]:
        proposed = [each for each in overlay.objects.values() if each is not None]
        return await self._supply.missing(base, proposed)

    def _remembered(self, key: str) -> Trial | None:
        """What came of the same proposals in the same world."""
        turn, known = self._current(), self._known.get(key)
        if turn is None or known is None or known[0] is not turn.resources:
            return None
        return replace(known[2], cached=True) if known[1] is turn.set_aside else None

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
