"""Conditions, in the manner of the Gateway API.

Translation yields ``Accepted`` and ``ResolvedRefs`` for every object; the
reconciler adds ``Programmed`` from what the nodes acknowledge. No timestamps
here: whoever writes a status sets ``lastTransitionTime``, and only on a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fluxgate.resources import ObjectRef


class ConditionType(StrEnum):
    """What a condition is about."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    EXPOSED = "Exposed"
    """Of a GatewayConfig with ``spec.exposure``, where that is made: on Kubernetes."""


class Reason(StrEnum):
    """Why a condition has its value. Stable: scripts match on these."""

    ACCEPTED = "Accepted"
    PARTIALLY_ACCEPTED = "PartiallyAccepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    DISABLED = "Disabled"
    INVALID = "Invalid"
    CONFLICTED = "Conflicted"
    UNSUPPORTED_TYPE = "UnsupportedType"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    REF_NOT_FOUND = "RefNotFound"
    REF_NOT_PERMITTED = "RefNotPermitted"
    NO_GATEWAY = "NoGateway"
    PENDING = "Pending"
    ENVOY_REJECTED = "EnvoyRejected"
    EXPOSED = "Exposed"
    PARTIALLY_EXPOSED = "PartiallyExposed"
    NOT_EXPOSED = "NotExposed"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of one object; ``message`` is for people and names field and remedy."""

    type: ConditionType
    status: bool
    reason: Reason
    message: str = ""


@dataclass(frozen=True, slots=True)
class ObjectStatus:
    """All conditions translation found for one object, in the order of their types."""

    ref: ObjectRef
    observed_generation: int
    conditions: tuple[Condition, ...]

    @property
    def accepted(self) -> bool:
        """Whether the object takes part in the configuration."""
        return all(
            condition.status
            for condition in self.conditions
            if condition.type not in (ConditionType.PROGRAMMED, ConditionType.EXPOSED)
        )
