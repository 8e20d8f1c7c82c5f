"""What a standalone gateway says about itself at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluxgate.ir import Gateway
from fluxgate.ports import NodeState, Propagation
from fluxgate.resources import ObjectRef
from fluxgate.status import ObjectStatus
from fluxgate_operator.envoy.supervisor import EnvoyStatus
from fluxgate_operator.problems import FileProblem


@dataclass(frozen=True, slots=True)
class StandaloneStatus:
    """Everything at one moment. ``failure`` is a bug of ours, empty in good order."""

    revision: int
    propagation: Propagation
    gateway: Gateway | None
    snapshot: str
    addresses: tuple[str, ...]
    objects: Mapping[ObjectRef, ObjectStatus]
    files: Mapping[ObjectRef, tuple[str, int]]
    problems: tuple[FileProblem, ...]
    nodes: tuple[NodeState, ...]
    envoy: EnvoyStatus
    failure: str = ""
