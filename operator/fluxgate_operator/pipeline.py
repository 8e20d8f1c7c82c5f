"""Placeholder of types until the translator lands; see Built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluxgate.ir import Gateway
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot
from fluxgate.status import ObjectStatus


@dataclass(frozen=True, slots=True)
class Rejection:
    """An object Envoy rejects: the digest of what it said then, and Envoy's words."""

    digest: str
    message: str


SetAside = Mapping[ObjectRef, Rejection]


@dataclass(frozen=True, slots=True)
class Built:
    """What one turn made: by the name a gateway is published under."""

    gateways: Mapping[str, Gateway]
    snapshots: Mapping[str, Snapshot]
    statuses: Mapping[ObjectRef, ObjectStatus]
