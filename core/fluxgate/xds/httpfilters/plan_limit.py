"""Plans: a token bucket for every API key, in Envoy's local rate limit filter.

One wildcard descriptor per plan serves every key of it: Envoy makes a bucket for
each value it sees (a dynamic descriptor). The configuration arrives by ECDS, so
that a change of plans touches no listener. Three descriptors a plan can count on:

* ``plan`` and ``key_id``: from the metadata of a verified key;
* ``plan`` and the address: a request without a key on a route where keys are
  optional (metadata ``anonymous_plan``), or on a route with a plan that asks for no
  key at all (metadata of the route).

Limits that are counted otherwise, and tenants' quotas, add their own
(:mod:`fluxgate.xds.httpfilters.limit_descriptors`); a gateway without any pays nothing for them.

Protos: envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit,
envoy.extensions.common.ratelimit.v3.LocalRateLimitDescriptor,
envoy.config.route.v3.{RateLimit,FilterConfig}.
"""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.common.ratelimit.v3 import ratelimit_pb2 as ratelimit_v3
from envoy.extensions.filters.http.local_ratelimit.v3 import (
    local_rate_limit_pb2 as local_ratelimit_v3,
)
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.type.v3 import token_bucket_pb2 as token_bucket_v3
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from fluxgate.ir import Gateway, HTTPRoute, PlanBucket
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.rate_limit import QuotaUse, RouteLimits
from fluxgate.snapshot import SnapshotResource
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.bucket import (
    BASE_INTERVAL_MS,
    MAX_TOKENS,
    TokenBucketIR,
    token_bucket,
)
from fluxgate.xds.httpfilters.discovered import discovered_filter
from fluxgate.xds.httpfilters.key_table import encode_value
from fluxgate.xds.httpfilters.limit_descriptors import (
    ADDRESS,
    Counted,
    by_address,
    counted,
    from_metadata,
    rate_limits,
)

LOCAL_RATE_LIMIT_TYPE = (
    typeurl.PREFIX + "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
)

MAX_COUNTED_KEYS = 100_000
"""Buckets kept at a time. Envoy's default is 20, and the least recently used one is dropped."""

DEFAULT_CODE = 429

ANONYMOUS_PLAN = "anonymous_plan"
"""The plan of a request without a key, in the same metadata as ``plan``."""

RETRY_AFTER = b"\x98\x01\x01"
"""``enable_retry_after_header: true``, field 19 of LocalRateLimit in Envoy 1.40.

The proto package does not know the field yet; an unknown field keeps its bytes.
"""

X_RATELIMIT_HEADERS = b"\x38\x02"
"""``x_ratelimit_option: DRAFT_VERSION_03``, field 7 of route.v3.RateLimit in Envoy 1.40.

Per descriptor rather than for the whole filter: a request that no plan limits gets no
``x-ratelimit-*`` headers, instead of those of the bucket that cannot be emptied.
"""


def _bucket(bucket: TokenBucketIR) -> token_bucket_v3.TokenBucket:
    interval = Duration()
    interval.FromMilliseconds(bucket.fill_interval_ms)
    return token_bucket_v3.TokenBucket(
        max_tokens=bucket.max_tokens,
        tokens_per_fill=UInt32Value(value=bucket.tokens_per_fill),
        fill_interval=interval,
    )


def _of_plans() -> list[route_v3.RateLimit]:
    """The three descriptors; one whose metadata is absent is not made."""
    address = by_address()
    plan = from_metadata("plan", names.AUTH_METADATA, "plan")
    key_id = from_metadata("key_id", names.AUTH_METADATA, "key_id")
    anonymous = from_metadata("plan", names.AUTH_METADATA, ANONYMOUS_PLAN)
    open_route = from_metadata("plan", names.PLAN_LIMIT_FILTER, "plan", of_route=True)
    return [
        route_v3.RateLimit(actions=[plan, key_id]),
        route_v3.RateLimit(actions=[anonymous, address]),
        route_v3.RateLimit(actions=[open_route, address]),
    ]


def _descriptors(plan: PlanBucket) -> list[ratelimit_v3.LocalRateLimitDescriptor]:
    entry = ratelimit_v3.RateLimitDescriptor.Entry
    bucket = _bucket(token_bucket(plan))
    return [
        ratelimit_v3.LocalRateLimitDescriptor(
            entries=[entry(key="plan", value=encode_value(plan.name)), entry(key=counted)],
            token_bucket=bucket,
        )
        for counted in ("key_id", ADDRESS)
    ]


def _counted_descriptor(each: Counted) -> ratelimit_v3.LocalRateLimitDescriptor:
    """The bucket of a limit that is no plan's, or of a quota. An entry without a value is any."""
    entries, numbers = each
    entry = ratelimit_v3.RateLimitDescriptor.Entry
    plan = PlanBucket("", numbers.requests, numbers.window_ms, numbers.burst)
    return ratelimit_v3.LocalRateLimitDescriptor(
        entries=[entry(key=key, value=value) for key, value in entries],
        token_bucket=_bucket(token_bucket(plan)),
    )


def local_rate_limit(gateway: Gateway) -> local_ratelimit_v3.LocalRateLimit:
    """The filter's configuration for a gateway's plans, limits and quotas.

    The bucket for requests without a plan is one that cannot be emptied.
    """
    limits = _of_plans() + rate_limits(gateway, names.PLAN_LIMIT_FILTER, exact=False)
    for limit in limits:
        limit.MergeFromString(X_RATELIMIT_HEADERS)
    always = core_v3.RuntimeFractionalPercent(default_value={"numerator": 100})
    message = local_ratelimit_v3.LocalRateLimit(
        stat_prefix="plan_limit",
        token_bucket=_bucket(TokenBucketIR(MAX_TOKENS, MAX_TOKENS, BASE_INTERVAL_MS)),
        filter_enabled=always,
        filter_enforced=always,
        always_consume_default_token_bucket={"value": False},
        rate_limits=limits,
        descriptors=[
            descriptor
            for plan in sorted(gateway.plans, key=lambda each: each.name)
            for descriptor in _descriptors(plan)
        ]
        + [_counted_descriptor(each) for each in counted(gateway, exact=False)],
        rate_limited_as_resource_exhausted=True,
        max_dynamic_descriptors=UInt32Value(value=MAX_COUNTED_KEYS),
    )
    message.MergeFromString(RETRY_AFTER)
    return message


class PlanLimit:
    """The plan limit filter; see :class:`fluxgate.xds.httpfilters.base.HTTPFilter`."""

    name: str = names.PLAN_LIMIT_FILTER

    def http_filter(self, gateway: Gateway) -> hcm_v3.HttpFilter | None:  # noqa: ARG002 - the hook's signature
        """The entry in the chain. Always there: a first plan must not change the listener."""
        return discovered_filter(self.name, LOCAL_RATE_LIMIT_TYPE)

    def patch_route(self, route: HTTPRoute, message: route_v3.Route) -> None:
        """Switch the filter on where a caller or the route itself brings a limit.

        The status of a refusal is said here for both filters of limits.
        """
        limits, quotas = route.policy(RouteLimits), route.policy(QuotaUse)
        if limits is not None and limits.rejected_code != DEFAULT_CODE:
            code = message.metadata.filter_metadata[names.LIMITS_METADATA]
            code["rejected_code"] = str(limits.rejected_code)
        local = limits is not None and bool(limits.local)
        counts = quotas is not None and quotas.local
        identified = route.key_auth is not None or route.policy(Access) is not None
        if not (identified or route.plan or local or counts):
            return
        # An empty configuration only enables the filter: one with content would be a
        # second limiter with counters of its own.
        enabled = route_v3.FilterConfig(config=AnyMessage())
        message.typed_per_filter_config[self.name].Pack(enabled, deterministic=True)
        said = dict(limits.local) if limits is not None else {}
        if quotas is not None and quotas.local and quotas.owner:
            said["owner"] = quotas.owner
        if route.plan and not identified:
            said["plan"] = encode_value(route.plan)
        if said:
            message.metadata.filter_metadata[self.name].update(said)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The plans' buckets, for ECDS."""
        extension = extension_v3.TypedExtensionConfig(name=self.name)
        extension.typed_config.Pack(local_rate_limit(gateway), deterministic=True)
        payload = extension.SerializeToString(deterministic=True)
        return (
            SnapshotResource.of(typeurl.EXTENSION, self.name, payload, origins=(gateway.origin,)),
        )
