"""Load balancing and stickiness as IR."""

from __future__ import annotations

from collections.abc import Sequence

from fluxgate.api.v1alpha1 import duration_ms
from fluxgate.api.v1alpha1.balancing import HashOn, LoadBalancing, Sticky, Zone
from fluxgate.ir import HashPolicy, LoadBalancer


def load_balancer(balancing: LoadBalancing, zones: Sequence[Zone] = ()) -> LoadBalancer:
    """The IR of a load-balancing policy; ``zones`` are those of the pool."""
    slow_start, near = balancing.slow_start, balancing.zone_aware
    plain = LoadBalancer()
    return LoadBalancer(
        policy=balancing.policy,
        slow_start_ms=duration_ms(slow_start.window) if slow_start else 0,
        slow_start_percent=(
            slow_start.min_weight_percent if slow_start else plain.slow_start_percent
        ),
        choices=balancing.choices or 0,
        ring_size=balancing.ring_size or 0,
        max_load_percent=balancing.max_load_percent or 0,
        zone_minimum=near.min_targets if near else None,
        zones_weighted=any(each.weight for each in zones),
    )


def hash_policy(hash_on: HashOn | None) -> HashPolicy | None:
    """What the hash of a pool is computed from."""
    if hash_on is None:
        return None
    if hash_on.type == "SourceIP":
        return HashPolicy(source_ip=True)
    if hash_on.type == "Header":
        return HashPolicy(header=(hash_on.name or "").lower())
    ttl = None if hash_on.cookie_ttl is None else duration_ms(hash_on.cookie_ttl)
    return HashPolicy(cookie=hash_on.name or "", cookie_ttl_ms=ttl)


def choice_by_hash(sticky: Sticky | None) -> HashPolicy | None:
    """What the choice between backends is computed from, unless a cookie says it."""
    if sticky is None or sticky.type == "Cookie":
        return None
    if sticky.type == "SourceIP":
        return HashPolicy(source_ip=True)
    return HashPolicy(header=(sticky.name or "").lower())
