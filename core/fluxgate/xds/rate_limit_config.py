"""What the rate limit service counts: one resource a gateway.

The domain is the gateway's name, the descriptors are those the gateway's Envoys send. Limits are
requests in a fixed window, whose unit is one of the service's.

Proto: ratelimit.config.ratelimit.v3.RateLimitConfig (:mod:`fluxgate.xds.rate_limit_messages`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from google.protobuf import json_format

from fluxgate.ir import Gateway
from fluxgate.ir.policies.rate_limit import LimitBucket, TenantQuota
from fluxgate.resources import ObjectRef
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import typeurl
from fluxgate.xds.httpfilters.limit_descriptors import Numbers, counted
from fluxgate.xds.proto import payload_of
from fluxgate.xds.rate_limit_messages import RateLimitConfig

UNITS = {
    1_000: "SECOND",
    60_000: "MINUTE",
    3_600_000: "HOUR",
    86_400_000: "DAY",
    604_800_000: "WEEK",
    2_592_000_000: "MONTH",
    31_536_000_000: "YEAR",
}
"""``RateLimitUnit`` by milliseconds; a month has 30 days, a year 365."""


@dataclass(slots=True)
class _Node:
    """A descriptor: what it counts itself, and those nested in it by key and value."""

    numbers: Numbers | None = None
    nested: dict[tuple[str, str], _Node] = field(default_factory=dict)

    def put(self, entries: Iterable[tuple[str, str]], numbers: Numbers) -> None:
        """Count what has these entries, the outermost first."""
        node = self
        for entry in entries:
            node = node.nested.setdefault(entry, _Node())
        node.numbers = numbers

    def descriptors(self) -> list[dict[str, object]]:
        """The nested ones as the message has them."""
        return [
            {"key": key, "value": value, **node.limit(), "descriptors": node.descriptors()}
            for (key, value), node in sorted(self.nested.items())
        ]

    def limit(self) -> dict[str, object]:
        """What is counted here, if anything is."""
        if self.numbers is None:
            return {}
        unit, requests = UNITS[self.numbers.window_ms], self.numbers.requests
        return {"rate_limit": {"unit": unit, "requests_per_unit": requests}}


def rate_limit_config(gateway: Gateway) -> SnapshotResource:
    """The ``RateLimitConfig`` of a gateway."""
    root = _Node()
    for entries, numbers in counted(gateway, exact=True):
        root.put(entries, numbers)
    name = gateway.name
    said = {"name": name, "domain": name, "descriptors": root.descriptors()}
    payload = payload_of(json_format.ParseDict(said, RateLimitConfig()))
    return SnapshotResource.of(typeurl.RATE_LIMIT, name, payload, origins=_origins(gateway))


def _origins(gateway: Gateway) -> list[ObjectRef]:
    buckets = {each.origin for each in gateway.shared_of(LimitBucket) if each.exact}
    quotas = {each.origin for each in gateway.shared_of(TenantQuota) if each.exact}
    return sorted({gateway.origin} | buckets | quotas)
