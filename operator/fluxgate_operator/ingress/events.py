"""Events about Ingresses (events.k8s.io/v1).

An Ingress has no conditions. ``kubectl describe ingress`` shows its Events, and that is where users
of ingress controllers look (ingress-nginx, HAProxy, Traefik and GKE all write them there), so our words
go there too, and nothing is written to the Ingress but its status. Events live for an hour by
default (kube-apiserver ``--event-ttl``): a problem that stays is told again before that, as one
more in the series of the same Event.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from fluxgate_operator.ingress.read import Ingress
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import ConflictError
from fluxgate_operator.kube.types import EVENTS, INGRESSES

REPORTER = "gateway.fluxgate.io/controller"
REASON = "NotServed"
_NOTE_LENGTH = 1024
_NAME_LENGTH = 230


@dataclass(frozen=True, slots=True)
class EventWriter:
    """Writes one Event for each problem; the same problem again continues its series."""

    client: KubeClient
    instance: str

    async def tell(self, ingress: Ingress, problem: str, now: datetime) -> None:
        """Write a Warning. Raises ``KubeError``."""
        event = warning(ingress, problem, self.instance, now)
        try:
            await self.client.create(EVENTS, ingress.namespace, event)
        except ConflictError:
            await self._again(ingress, event["metadata"]["name"], now)

    async def _again(self, ingress: Ingress, name: str, now: datetime) -> None:
        known = await self.client.get(EVENTS, ingress.namespace, name)
        count = (known.get("series") or {}).get("count", 1) + 1
        series = {"count": count, "lastObservedTime": micro_time(now)}
        await self.client.merge_patch(EVENTS, ingress.namespace, name, {"series": series})


def warning(ingress: Ingress, problem: str, instance: str, now: datetime) -> Document:
    """The Event; its name comes of the Ingress' uid and the problem, so it is the same again."""
    digest = hashlib.sha256(f"{ingress.uid}\n{problem}".encode()).hexdigest()[:16]
    name = f"{ingress.name[:_NAME_LENGTH].rstrip('.-')}.{digest}"
    return {
        "apiVersion": EVENTS.api_version,
        "kind": EVENTS.kind,
        "metadata": {"name": name, "namespace": ingress.namespace},
        "eventTime": micro_time(now),
        "type": "Warning",
        "reason": REASON,
        "action": "Translate",
        "note": shortened(problem),
        "reportingController": REPORTER,
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": INGRESSES.api_version,
            "kind": INGRESSES.kind,
            "namespace": ingress.namespace,
            "name": ingress.name,
            "uid": ingress.uid,
        },
    }


def shortened(text: str) -> str:
    """At most the 1024 bytes that a note may have."""
    raw = text.encode()
    return (
        text if len(raw) <= _NOTE_LENGTH else raw[: _NOTE_LENGTH - 3].decode(errors="ignore") + "…"
    )


def micro_time(now: datetime) -> str:
    """meta/v1 MicroTime."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
