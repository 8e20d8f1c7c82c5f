"""The plan limit filter's messages."""

from __future__ import annotations

from envoy.config.route.v3 import route_components_pb2 as route_v3
from support.keygateway import gateway, resources, route, route_message

from fluxgate.ir import KeyAuth, PlanBucket
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.plan_limit import (
    MAX_COUNTED_KEYS,
    RETRY_AFTER,
    X_RATELIMIT_HEADERS,
    PlanLimit,
    local_rate_limit,
)

FILTER = PlanLimit()
FREE = PlanBucket("free", 60, 60_000, 120)
PRO = PlanBucket("pro", 1000, 60_000, 2000)


def test_the_first_plan_does_not_change_the_listener() -> None:
    assert FILTER.http_filter(gateway()) == FILTER.http_filter(gateway(plans=[FREE]))


def test_one_plan_more_changes_only_the_extension_resource() -> None:
    before = {each.name: each.version for each in resources(gateway(plans=[FREE]))}
    after = {each.name: each.version for each in resources(gateway(plans=[FREE, PRO]))}
    assert [name for name in before if before[name] != after[name]] == [names.PLAN_LIMIT_FILTER]


def test_the_resource_is_an_extension() -> None:
    (resource,) = FILTER.resources(gateway())
    assert (resource.type_url, resource.name) == (typeurl.EXTENSION, names.PLAN_LIMIT_FILTER)


def test_each_plan_has_one_wildcard_for_keys_and_one_for_addresses() -> None:
    message = local_rate_limit(gateway(plans=[PRO, FREE]))
    entries = [[(e.key, e.value) for e in each.entries] for each in message.descriptors]
    assert entries == [
        [("plan", "free"), ("key_id", "")],
        [("plan", "free"), ("masked_remote_address", "")],
        [("plan", "pro"), ("key_id", "")],
        [("plan", "pro"), ("masked_remote_address", "")],
    ]


def test_many_more_keys_are_counted_than_envoys_default_of_twenty() -> None:
    assert (
        local_rate_limit(gateway(plans=[FREE])).max_dynamic_descriptors.value
        == MAX_COUNTED_KEYS
        == 100_000
    )


def test_the_default_bucket_cannot_be_emptied() -> None:
    bucket = local_rate_limit(gateway()).token_bucket
    assert bucket.max_tokens == bucket.tokens_per_fill.value == 2**32 - 1


def test_the_order_of_the_plans_does_not_matter() -> None:
    assert local_rate_limit(gateway(plans=[PRO, FREE])) == local_rate_limit(
        gateway(plans=[FREE, PRO])
    )


def test_fields_newer_than_the_proto_package_are_in_the_bytes() -> None:
    payload = local_rate_limit(gateway(plans=[FREE])).SerializeToString(deterministic=True)
    assert payload.endswith(RETRY_AFTER)
    assert payload.count(X_RATELIMIT_HEADERS) >= 3


def test_a_route_with_keys_turns_the_filter_on_without_a_limiter_of_its_own() -> None:
    message = route_message(route("/a", KeyAuth()))
    enabled = route_v3.FilterConfig()
    assert message.typed_per_filter_config[names.PLAN_LIMIT_FILTER].Unpack(enabled)
    assert enabled.HasField("config")
    assert not enabled.config.type_url
    assert not enabled.disabled


def test_a_route_with_a_plan_and_no_keys_names_the_plan_in_its_metadata() -> None:
    message = route_message(route("/a", plan="free"))
    assert names.PLAN_LIMIT_FILTER in message.typed_per_filter_config
    assert message.metadata.filter_metadata[names.PLAN_LIMIT_FILTER]["plan"] == "free"


def test_a_route_without_keys_and_plan_is_not_limited() -> None:
    message = route_message(route("/a"))
    assert names.PLAN_LIMIT_FILTER not in message.typed_per_filter_config
    assert not message.HasField("metadata")
