"""How the targets of a pool share the requests, and who stays with which of them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import Duration, Model, Name
from fluxgate.api.v1alpha1.rules import Rule

TokenName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", min_length=1, max_length=256),
]
"""The name of a header or of a cookie (RFC 9110 section 5.6.2, RFC 6265 section 4.1.1)."""


class HashOn(Model):
    """What a consistent hash, and so stickiness to a target, is computed from."""

    type: Literal["Header", "Cookie", "SourceIP"]
    name: TokenName | None = None
    cookie_ttl: Duration | None = Field(
        default=None,
        description="The gateway sets the cookie itself when it is missing; 0s lets it live as long "
        "as the browser's session. Without it the cookie is only read.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            "Header and Cookie need a name, SourceIP has none",
            "(self.type != 'SourceIP') == has(self.name)",
            lambda self: (self.type != "SourceIP") == (self.name is not None),
        ),
        Rule(
            "cookieTtl",
            "only a Cookie has a lifetime",
            "!has(self.cookieTtl) || self.type == 'Cookie'",
            lambda self: self.cookie_ttl is None or self.type == "Cookie",
        ),
    )


class SlowStart(Model):
    """A new target's share grows over this window."""

    window: Duration
    min_weight_percent: Annotated[int, Field(ge=1, le=100)] = Field(
        default=10, description="The share of its weight that a new target begins with."
    )


class ZoneAware(Model):
    """Requests stay in the zone of the Envoy that has them.

    Other zones are used while the own one has fewer than ``minTargets`` healthy targets. Envoys know their zone by ``--zone`` of ``fluxgate run`` and
    ``fluxgate bootstrap``; one without a zone uses all targets alike.
    """

    min_targets: Annotated[int, Field(ge=1, le=1000)] = 1


class LoadBalancing(Model):
    """How a target is chosen."""

    policy: Literal["RoundRobin", "LeastRequest", "Random", "RingHash", "Maglev"] = "RoundRobin"
    hash_on: HashOn | None = None
    slow_start: SlowStart | None = None
    choices: Annotated[int, Field(ge=2, le=100)] | None = Field(
        default=None,
        description="LeastRequest compares so many targets drawn at random; 2 when not set.",
    )
    ring_size: Annotated[int, Field(ge=1, le=8_388_608)] | None = Field(
        default=None,
        description="Entries of RingHash's ring at least; 1024 when not set. More entries share "
        "more evenly.",
    )
    max_load_percent: Annotated[int, Field(ge=100, le=10_000)] | None = Field(
        default=None,
        description="A hash that leads to a target with more than this share of the average load "
        "goes on to the next one; stickiness then ends where overload begins.",
    )
    zone_aware: ZoneAware | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "hashOn",
            "hashOn needs the policy RingHash or Maglev",
            "!has(self.hashOn) || self.policy in ['RingHash', 'Maglev']",
            lambda self: self.hash_on is None or self.policy in ("RingHash", "Maglev"),
        ),
        Rule(
            "slowStart",
            "slowStart needs the policy RoundRobin or LeastRequest",
            "!has(self.slowStart) || self.policy in ['RoundRobin', 'LeastRequest']",
            lambda self: self.slow_start is None or self.policy in ("RoundRobin", "LeastRequest"),
        ),
        Rule(
            "choices",
            "choices needs the policy LeastRequest",
            "!has(self.choices) || self.policy == 'LeastRequest'",
            lambda self: self.choices is None or self.policy == "LeastRequest",
        ),
        Rule(
            "ringSize",
            "ringSize needs the policy RingHash",
            "!has(self.ringSize) || self.policy == 'RingHash'",
            lambda self: self.ring_size is None or self.policy == "RingHash",
        ),
        Rule(
            "maxLoadPercent",
            "maxLoadPercent needs the policy RingHash or Maglev",
            "!has(self.maxLoadPercent) || self.policy in ['RingHash', 'Maglev']",
            lambda self: self.max_load_percent is None or self.policy in ("RingHash", "Maglev"),
        ),
        Rule(
            "zoneAware",
            "zoneAware needs the policy RoundRobin, LeastRequest or Random: a hash knows no zones",
            "!has(self.zoneAware) || !(self.policy in ['RingHash', 'Maglev'])",
            lambda self: self.zone_aware is None or self.policy not in ("RingHash", "Maglev"),
        ),
    )


class Zone(Model):
    """The part one zone takes in a pool; zones that are not listed have weight and priority 0."""

    name: Name
    weight: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="The zone's share, however many targets it has. Give every zone one, or none.",
    )
    priority: Annotated[int, Field(ge=0, le=15)] = Field(
        default=0,
        description="Zones of a higher number take what those of lower ones have too few healthy "
        "targets for.",
    )


class Sticky(Model):
    """A client stays with the backend, or the canary, that it came to first.

    By ``Cookie`` the gateway says in a cookie which one that was, and follows it. By ``Header`` or
    ``SourceIP`` the choice follows a hash, so it is the same on every gateway; it moves for some
    clients when weights change.
    """

    type: Literal["Cookie", "Header", "SourceIP"] = "Cookie"
    name: TokenName | None = None
    cookie_ttl: Duration | None = Field(
        default=None, description="Without it the cookie lives as long as the browser's session."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "name",
            "Header and Cookie need a name, SourceIP has none",
            "(self.type != 'SourceIP') == has(self.name)",
            lambda self: (self.type != "SourceIP") == (self.name is not None),
        ),
        Rule(
            "cookieTtl",
            "only a Cookie has a lifetime",
            "!has(self.cookieTtl) || self.type == 'Cookie'",
            lambda self: self.cookie_ttl is None or self.type == "Cookie",
        ),
    )
