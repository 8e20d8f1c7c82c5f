"""Plans: a token bucket for every API key, in Envoy's local rate limit filter.

One wildcard descriptor per plan serves every key of it: Envoy makes a bucket for
each value it sees (a dynamic descriptor). The configuration arrives by ECDS, so
that a change of plans touches no listener. Three descriptors a plan can count on:

* ``plan`` and ``key_id``: from the metadata of a verified key;
* ``plan`` and ``remote_address``: a request without a key on a route where keys are
  optional (metadata ``anonymous_plan``), or on a route with a plan that asks for no
  key at all (metadata of the route).

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
from envoy.type.metadata.v3 import metadata_pb2 as metadata_v3
from envoy.type.v3 import token_bucket_pb2 as token_bucket_v3
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from fluxgate.ir import Gateway, HTTPRoute, PlanBucket
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

LOCAL_RATE_LIMIT_TYPE = (
    typeurl.PREFIX + "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
)

MAX_COUNTED_KEYS = 100_000
"""Buckets kept at a time. Envoy's default is 20, and the least recently used one is dropped."""

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

_MetadataAction = route_v3.RateLimit.Action.MetaData


def _bucket(bucket: TokenBucketIR) -> token_bucket_v3.TokenBucket:
    interval = Duration()
    interval.FromMilliseconds(bucket.fill_interval_ms)
    return token_bucket_v3.TokenBucket(
        max_tokens=bucket.max_tokens,
        tokens_per_fill=UInt32Value(value=bucket.tokens_per_fill),
        fill_interval=interval,
    )


def _from_metadata(
    descriptor: str, namespace: str, key: str, *, of_route: bool = False
) -> route_v3.RateLimit.Action:
    action = _MetadataAction(
        descriptor_key=descriptor,
        metadata_key=metadata_v3.MetadataKey(
            key=namespace, path=[metadata_v3.MetadataKey.PathSegment(key=key)]
        ),
        source=_MetadataAction.ROUTE_ENTRY if of_route else _MetadataAction.DYNAMIC,
    )
    return route_v3.RateLimit.Action(metadata=action)


def _rate_limits() -> list[route_v3.RateLimit]:
    """The three descriptors; one whose metadata is absent is not made."""
    address = route_v3.RateLimit.Action(remote_address=route_v3.RateLimit.Action.RemoteAddress())
    plan = _from_metadata("plan", names.AUTH_METADATA, "plan")
    key_id = _from_metadata("key_id", names.AUTH_METADATA, "key_id")
    anonymous = _from_metadata("plan", names.AUTH_METADATA, ANONYMOUS_PLAN)
    open_route = _from_metadata("plan", names.PLAN_LIMIT_FILTER, "plan", of_route=True)
    limits = [
        route_v3.RateLimit(actions=[plan, key_id]),
        route_v3.RateLimit(actions=[anonymous, address]),
        route_v3.RateLimit(actions=[open_route, address]),
    ]
    for limit in limits:
        limit.MergeFromString(X_RATELIMIT_HEADERS)
    return limits


def _descriptors(plan: PlanBucket) -> list[ratelimit_v3.LocalRateLimitDescriptor]:
    entry = ratelimit_v3.RateLimitDescriptor.Entry
    bucket = _bucket(token_bucket(plan))
    return [
        ratelimit_v3.LocalRateLimitDescriptor(
            entries=[entry(key="plan", value=encode_value(plan.name)), entry(key=counted)],
            token_bucket=bucket,
        )
        for counted in ("key_id", "remote_address")
    ]


def local_rate_limit(plans: tuple[PlanBucket, ...]) -> local_ratelimit_v3.LocalRateLimit:
    """The filter's configuration for ``plans``, whose names are unique.

    The bucket for requests without a plan is one that cannot be emptied.
    """
    always = core_v3.RuntimeFractionalPercent(default_value={"numerator": 100})
    message = local_ratelimit_v3.LocalRateLimit(
        stat_prefix="plan_limit",
        token_bucket=_bucket(TokenBucketIR(MAX_TOKENS, MAX_TOKENS, BASE_INTERVAL_MS)),
        filter_enabled=always,
        filter_enforced=always,
        always_consume_default_token_bucket={"value": False},
        rate_limits=_rate_limits(),
        descriptors=[
            descriptor
            for plan in sorted(plans, key=lambda each: each.name)
            for descriptor in _descriptors(plan)
        ],
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
        """Switch the filter on where a key or the route itself brings a plan."""
        if route.key_auth is None and not route.plan:
            return
        # An empty configuration only enables the filter: one with content would be a
        # second limiter with counters of its own.
        enabled = route_v3.FilterConfig(config=AnyMessage())
        message.typed_per_filter_config[self.name].Pack(enabled, deterministic=True)
        if route.key_auth is None:
            message.metadata.filter_metadata[self.name]["plan"] = encode_value(route.plan)

    def resources(self, gateway: Gateway) -> tuple[SnapshotResource, ...]:
        """The plans' buckets, for ECDS."""
        extension = extension_v3.TypedExtensionConfig(name=self.name)
        extension.typed_config.Pack(local_rate_limit(gateway.plans), deterministic=True)
        payload = extension.SerializeToString(deterministic=True)
        return (
            SnapshotResource.of(typeurl.EXTENSION, self.name, payload, origins=(gateway.origin,)),
        )
