"""What we wrote ourselves, until the watch shows it; and what was refused, until it shows why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.client import Document
from fluxgate_operator.providers.kubernetes.intake import FactsReader, ObjectFacts


@dataclass(frozen=True, slots=True)
class Known:
    """An object's newest version we know of, and its status then.

    ``refused``: a patch for this version was refused already; there is a newer one.
    """

    version: str
    status: Mapping[str, Any]
    refused: bool = False


_Written = tuple[str, str, str]
"""uid, resource version, and the status as JSON.

Nothing but text: ten thousand documents would be half a million objects for Python's garbage
collector to walk while the event loop waits. Almost none of them is ever read again.
"""


class Memory:
    """Bridges the time between a write and its echo from the watch.

    Resource versions of one object are compared as numbers (KEP-5504): the greater one is newer.
    """

    def __init__(self) -> None:
        self._written: dict[ObjectRef, _Written] = {}
        self._refused: dict[ObjectRef, tuple[str, str]] = {}

    def known(self, facts: ObjectFacts) -> Known:
        """The newest of what the watch showed and what we wrote."""
        version, status = facts.resource_version, facts.status
        written = self._written.get(facts.ref)
        if written is not None:
            uid, newest, said = written
            if uid == facts.uid and is_newer(newest, version):
                version, status = newest, json.loads(said)
            else:
                del self._written[facts.ref]
        refused = self._refused.get(facts.ref)
        if refused is not None and refused != (facts.uid, version):
            del self._refused[facts.ref]
            refused = None
        return Known(version, status, refused is not None)

    def wrote(self, ref: ObjectRef, answer: Document) -> None:
        """A patch was accepted; ``answer`` is the object as it is now."""
        meta = answer["metadata"]
        said = json.dumps(answer.get("status") or {})
        self._written[ref] = (meta["uid"], meta["resourceVersion"], said)
        self._refused.pop(ref, None)

    def refused(self, facts: ObjectFacts, known: Known) -> None:
        """A patch for ``known`` was refused with 409: somebody wrote a newer version."""
        self._refused[facts.ref] = (facts.uid, known.version)

    def forget_seen(self, facts: FactsReader) -> None:
        """Let go of what the watch has shown meanwhile, or what is gone."""
        for ref in list(self._written):
            found = facts.facts(ref)
            if found is None:
                del self._written[ref]
                self._refused.pop(ref, None)
            else:
                self.known(found)

    def clear(self) -> None:
        """Forget everything."""
        self._written.clear()
        self._refused.clear()


def is_newer(one: str, other: str) -> bool:
    """Whether resource version ``one`` is newer than ``other``."""
    return one.isdigit() and other.isdigit() and int(one) > int(other)
