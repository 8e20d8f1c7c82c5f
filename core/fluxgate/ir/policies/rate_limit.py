"""Limits: what a route counts by, and the buckets and quotas that a gateway has for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fluxgate.ir.policy import RoutePolicy, Shared


class CountedBy(StrEnum):
    """Whose requests share a count."""

    KEY = "key"
    """The API key, or the subject of another credential."""
    TENANT = "tenant"
    ADDRESS = "address"
    HEADER = "header"
    ROUTE = "route"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """One way to count that routes of a gateway use.

    A route has at most one limit per slot: its second limit of the same kind takes the slot with
    the next ``index``. ``header`` is in lower case, and empty unless ``by`` is ``HEADER``.
    """

    by: CountedBy
    header: str = ""
    index: int = 0

    @property
    def key(self) -> str:
        """The name under which a route says its bucket in this slot."""
        return ".".join(part for part in (self.by.value, self.header, str(self.index)) if part)


@dataclass(frozen=True, slots=True)
class LimitBucket(Shared):
    """What is counted in one slot under one name: numbers, or those of ``plan``.

    ``exact`` buckets are counted by the rate limit service for all replicas together, in fixed
    windows; the others are token buckets of ``burst`` in every Envoy by itself.
    """

    slot: Slot
    """How it is counted; the index says nothing."""
    exact: bool = False
    plan: str = ""
    requests: int = 0
    window_ms: int = 0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class SlotUse(Shared):
    """Some route of the gateway uses ``slot``."""

    slot: Slot
    exact: bool = False


@dataclass(frozen=True, slots=True)
class RouteLimits(RoutePolicy):
    """The limits of one route besides its plan: (key of the slot, name of the bucket).

    ``rejected_code`` is the status of a refusal.
    """

    local: tuple[tuple[str, str], ...] = ()
    exact: tuple[tuple[str, str], ...] = ()
    rejected_code: int = 429


@dataclass(frozen=True, slots=True)
class TenantQuota(Shared):
    """How many requests of one tenant a gateway takes within a window."""

    tenant: str
    quota: str
    limit: int
    window_ms: int
    exact: bool = False


@dataclass(frozen=True, slots=True)
class QuotaUse(RoutePolicy):
    """The route counts the quotas of its callers' tenants; ``owner`` answers for strangers."""

    owner: str = ""
    local: bool = False
    exact: bool = False


@dataclass(frozen=True, slots=True)
class RateLimitServer(Shared):
    """The rate limit service of a gateway; ``name`` is its cluster. Times in milliseconds.

    ``closed``: requests are refused (503) while it does not answer, instead of let through.
    """

    timeout_ms: int = 100
    closed: bool = False
