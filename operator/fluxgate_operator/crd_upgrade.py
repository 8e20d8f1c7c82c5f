"""The CustomResourceDefinitions of this version, applied to a cluster.

Helm installs what is in ``crds/`` once and never looks at it again; this is what upgrades them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fluxgate_operator.errors import OperatorError
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import NotFoundError
from fluxgate_operator.kube.types import CRDS

MANAGER = "fluxgate-crds"
LOOK_EVERY = 0.2
"""Seconds between two looks; the API server establishes a definition within moments."""


class CrdRefusedError(OperatorError):
    """A definition was stored, and the API server will not serve it."""


@dataclass(frozen=True, slots=True)
class CrdOutcome:
    """One definition: created, updated or unchanged, and now served."""

    name: str
    action: str


async def apply_crds(
    client: KubeClient, definitions: Iterable[dict[str, Any]], seconds: float
) -> tuple[CrdOutcome, ...]:
    """Apply every definition, then wait until the API server serves them all.

    ``seconds`` are for all of them together. Raises :class:`CrdRefusedError` when names are
    taken by somebody else's definition or time is up, and ``KubeError``.
    """
    deadline = time.monotonic() + seconds
    applied = [await _apply(client, each) for each in definitions]
    for each in applied:
        await _established(client, each.name, deadline)
    return tuple(applied)


async def _apply(client: KubeClient, definition: dict[str, Any]) -> CrdOutcome:
    name = definition["metadata"]["name"]
    try:
        before = await client.get(CRDS, None, name)
    except NotFoundError:
        before = None
    # Forced: the fields of these definitions are ours, whoever installed them first (Helm, kubectl).
    after = await client.apply(CRDS, None, definition, manager=MANAGER, force=True)
    if before is None:
        return CrdOutcome(name, "created")
    same = before["metadata"]["generation"] == after["metadata"]["generation"]
    return CrdOutcome(name, "unchanged" if same else "updated")


async def _established(client: KubeClient, name: str, deadline: float) -> None:
    while True:
        conditions = _conditions(await client.get(CRDS, None, name))
        refused = conditions.get("NamesAccepted", {})
        if refused.get("status") == "False":
            raise CrdRefusedError(f"{name}: {refused.get('reason')}: {refused.get('message')}")
        if conditions.get("Established", {}).get("status") == "True":
            return
        if time.monotonic() > deadline:
            raise CrdRefusedError(f"{name} is not Established in time: {conditions}")
        await asyncio.sleep(LOOK_EVERY)


def _conditions(definition: Document) -> dict[str, Document]:
    listed = (definition.get("status") or {}).get("conditions") or []
    return {each["type"]: each for each in listed}
