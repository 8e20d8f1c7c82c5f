"""How a cluster chooses an endpoint."""

from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.extensions.load_balancing_policies.common.v3 import common_pb2 as common_v3
from envoy.extensions.load_balancing_policies.least_request.v3 import (
    least_request_pb2 as least_request_v3,
)
from envoy.extensions.load_balancing_policies.random.v3 import random_pb2 as random_v3
from envoy.extensions.load_balancing_policies.round_robin.v3 import (
    round_robin_pb2 as round_robin_v3,
)

from fluxgate.ir import LoadBalancer
from fluxgate.xds.proto import any_of, duration, uint32

_NAMES = {
    "RoundRobin": "envoy.load_balancing_policies.round_robin",
    "LeastRequest": "envoy.load_balancing_policies.least_request",
    "Random": "envoy.load_balancing_policies.random",
}
_MIN_RING_SIZE = 1024
_SLOW_START_PERCENT = 10
"""Envoy's default of ``min_weight_percent``."""


def set_balancer(balancer: LoadBalancer, message: cluster_v3.Cluster) -> None:
    """The load-balancing policy of a cluster. Raises ``ValueError`` for an unknown one."""
    if balancer.zone_minimum is not None:
        _prefer_zone(balancer, balancer.zone_minimum, message)
        return
    common = message.common_lb_config
    if balancer.zones_weighted:
        common.locality_weighted_lb_config.SetInParent()
    if balancer.max_load_percent:
        common.consistent_hashing_lb_config.hash_balance_factor.value = balancer.max_load_percent
    match balancer.policy:
        case "RoundRobin":
            message.lb_policy = cluster_v3.Cluster.ROUND_ROBIN
            if balancer.slow_start_ms:
                _set_slow_start(balancer, message.round_robin_lb_config.slow_start_config)
        case "LeastRequest":
            message.lb_policy = cluster_v3.Cluster.LEAST_REQUEST
            if balancer.slow_start_ms:
                _set_slow_start(balancer, message.least_request_lb_config.slow_start_config)
            if balancer.choices:
                message.least_request_lb_config.choice_count.value = balancer.choices
        case "Random":
            message.lb_policy = cluster_v3.Cluster.RANDOM
        case "RingHash":
            message.lb_policy = cluster_v3.Cluster.RING_HASH
            size = balancer.ring_size or _MIN_RING_SIZE
            message.ring_hash_lb_config.minimum_ring_size.value = size
        case "Maglev":
            message.lb_policy = cluster_v3.Cluster.MAGLEV
        case unknown:
            raise ValueError(f"{unknown!r} is not a load-balancing policy")


def _set_slow_start(
    balancer: LoadBalancer,
    slow_start: cluster_v3.Cluster.SlowStartConfig | common_v3.SlowStartConfig,
) -> None:
    slow_start.slow_start_window.CopyFrom(duration(balancer.slow_start_ms))
    if balancer.slow_start_percent != _SLOW_START_PERCENT:
        slow_start.min_weight_percent.value = balancer.slow_start_percent


def _prefer_zone(balancer: LoadBalancer, minimum: int, message: cluster_v3.Cluster) -> None:
    """``force_local_zone``, which only the extensible form of policies has.

    It goes by the zone of Envoy's local cluster: its bootstrap names one with nothing but itself.
    """
    policy: round_robin_v3.RoundRobin | least_request_v3.LeastRequest | random_v3.Random
    match balancer.policy:
        case "RoundRobin":
            policy = round_robin_v3.RoundRobin()
        case "LeastRequest":
            policy = least_request_v3.LeastRequest()
            if balancer.choices:
                policy.choice_count.value = balancer.choices
        case "Random":
            policy = random_v3.Random()
        case unknown:
            raise ValueError(f"{unknown!r} knows no zones")
    if balancer.slow_start_ms and not isinstance(policy, random_v3.Random):
        _set_slow_start(balancer, policy.slow_start_config)
    near = policy.locality_lb_config.zone_aware_lb_config
    near.min_cluster_size.value = 0
    near.force_local_zone.min_size.CopyFrom(uint32(minimum))
    chosen = message.load_balancing_policy.policies.add().typed_extension_config
    chosen.name = _NAMES[balancer.policy]
    chosen.typed_config.CopyFrom(any_of(policy))
