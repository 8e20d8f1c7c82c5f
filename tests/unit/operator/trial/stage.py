"""Trials over a world of objects, with a judge the test controls in Envoy's place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
import yaml
from google.protobuf.message import Message
from support.resources import GATEWAY

from fluxgate.api.parse import parse_object
from fluxgate.ports import Proposal, Trial
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.snapshot import Snapshot
from fluxgate_operator.culprits import Validator
from fluxgate_operator.envoy.validate import Validation, Verdict
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.reconciler import Reconciler
from fluxgate_operator.trial import FolderSupply, Supply, Trials, TrialSettings

Document = dict[str, Any]


class Judge:
    """Refuses what holds one of its words; waits while ``open`` is not set, and after so many ``answers``."""

    def __init__(self, *words: str) -> None:
        self.words = [word.encode() for word in words]
        self.seen: list[bytes] = []
        self.verdict = Verdict.REJECTED
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.answers: int | None = None

    async def validate(self, bootstrap: Message) -> Validation:
        payload = bootstrap.SerializeToString(deterministic=True)
        remembered = payload in self.seen
        self.seen.append(payload)
        self.asked.set()
        if self.answers is not None and len(self.seen) > self.answers:
            self.open.clear()
        await self.open.wait()
        for word in self.words:
            if word in payload:
                return Validation(self.verdict, f"{word.decode()} is bad")
        return Validation(Verdict.OK, remembered=remembered)


class _Sink:
    def publish(self, gateway: str, snapshot: Snapshot) -> None:
        """Nobody is served."""


class Stage:
    """A world, and trials over it."""

    def __init__(
        self,
        *documents: Mapping[str, Any],
        supply: Supply | None = None,
        settings: TrialSettings | None = None,
        validator: Validator | None = None,
    ) -> None:
        self.store = ResourceStore()
        self.judge = Judge()
        log = structlog.get_logger()
        self.reconciler = Reconciler(self.store, CachedPipeline(), _Sink(), self._synced, log)
        self.put(*yaml.safe_load_all(GATEWAY), *documents)
        self.trials = Trials(
            lambda: self.reconciler.current,
            CachedPipeline(),
            validator or self.judge,
            supply or FolderSupply(),
            log,
            settings=settings,
        )

    async def _synced(self) -> None:
        """The test says when there is a turn."""

    def put(self, *documents: Mapping[str, Any]) -> None:
        """Store objects, and have a turn with them."""
        for each in documents:
            self.store.upsert(parse_object(each))
        assert self.reconciler.reconcile()

    async def attempt(self, *documents: Document, seconds: float = 10.0) -> Trial:
        """Try these documents, all together."""
        proposals = [Proposal(ref_of(each), each) for each in documents]
        return await self.trials.try_out(proposals, seconds=seconds)

    async def without(self, kind: str, name: str) -> Trial:
        """Try a deletion."""
        return await self.trials.try_out([Proposal(ObjectRef(kind, "default", name), None)])


def ref_of(each: Document) -> ObjectRef:
    """Whom a document is about."""
    return ObjectRef(each["kind"], "default", each["metadata"]["name"])


def made(kind: str, name: str, **spec: Any) -> Document:
    """A document."""
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def route(name: str, path: str = "", to: str = "http://127.0.0.1:9000", **spec: Any) -> Document:
    """An open Route from a prefix to a URL, or to a Backend by name."""
    backend = {"url": to} if "://" in to else {"kind": "Backend", "name": to}
    matches = [{"path": {"value": path or f"/{name}"}}]
    return made("Route", name, matches=matches, auth={"mode": "None"}, backends=[backend], **spec)


def backend(name: str, url: str = "http://127.0.0.1:9000") -> Document:
    """A Backend for a URL."""
    return made("Backend", name, url=url)


def changes(trial: Trial) -> dict[str, str]:
    """What is different of routes and of Envoy's resources."""
    return {
        f"{each.type} {each.name}": each.change
        for each in (*trial.difference.routes, *trial.difference.envoy)
    }
