"""What a request is counted by, in the terms that both rate limit filters understand.

A filter's configuration lists every way to count that some route of the gateway uses (slots) and
the quotas of tenants. A route says in its metadata which bucket it has in which slot; an action whose metadata
is absent makes no descriptor, so a route is counted only where it has a bucket. All of it
arrives by ECDS, so that no limit touches a listener.

Who calls is read from the identity headers: only the gateway sets them (every request loses them
before a route is chosen), whatever kind of credential was verified.

Protos: envoy.config.route.v3.RateLimit, envoy.type.metadata.v3.MetadataKey.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.type.metadata.v3 import metadata_pb2 as metadata_v3

from fluxgate.ir import Gateway
from fluxgate.ir.policies.rate_limit import CountedBy, LimitBucket, Slot, SlotUse, TenantQuota
from fluxgate.xds.proto import uint32

LIMIT, QUOTA = "limit", "quota"
ADDRESS = "masked_remote_address"
"""The key Envoy gives the entry of a masked address."""
_IPV6_BITS = 64
"""What one subscriber has at the least: who counts longer prefixes counts nobody."""

KEY_ID_HEADER, SUBJECT_HEADER, TENANT_HEADER = "x-auth-key-id", "x-auth-subject", "x-tenant-id"

Action = route_v3.RateLimit.Action
_MetadataAction = route_v3.RateLimit.Action.MetaData


@dataclass(frozen=True, slots=True)
class Who:
    """One way to tell who calls: the entries behind the bucket's, key and value (empty for any)."""

    entries: tuple[tuple[str, str], ...]
    actions: tuple[route_v3.RateLimit.Action, ...]


def from_metadata(
    descriptor: str, namespace: str, key: str, *, of_route: bool = False
) -> route_v3.RateLimit.Action:
    """An entry whose value is in dynamic metadata, or in the route's."""
    action = _MetadataAction(
        descriptor_key=descriptor,
        metadata_key=metadata_v3.MetadataKey(
            key=namespace, path=[metadata_v3.MetadataKey.PathSegment(key=key)]
        ),
        source=_MetadataAction.ROUTE_ENTRY if of_route else _MetadataAction.DYNAMIC,
    )
    return Action(metadata=action)


def from_header(descriptor: str, header: str) -> route_v3.RateLimit.Action:
    """An entry whose value is a request header; without the header there is no descriptor."""
    return Action(
        request_headers=Action.RequestHeaders(header_name=header, descriptor_key=descriptor)
    )


def lacking(descriptor: str, value: str, *headers: str) -> route_v3.RateLimit.Action:
    """An entry that is there only when the request has none of ``headers``."""
    match = Action.HeaderValueMatch(descriptor_key=descriptor, descriptor_value=value)
    for header in headers:
        match.headers.add(name=header, present_match=False)
    return Action(header_value_match=match)


def by_address() -> route_v3.RateLimit.Action:
    """An entry with the client's address: all of IPv4, the network of IPv6."""
    masked = Action.MaskedRemoteAddress(
        v4_prefix_mask_len=uint32(32), v6_prefix_mask_len=uint32(_IPV6_BITS)
    )
    return Action(masked_remote_address=masked)


def _by_header(key: str, header: str) -> tuple[Who, ...]:
    """By a header's value; who has none, by address."""
    strangers = (("without", key), (ADDRESS, ""))
    return (
        Who(((key, ""),), (from_header(key, header),)),
        Who(strangers, (lacking("without", key, header), by_address())),
    )


def who(slot: Slot) -> tuple[Who, ...]:
    """How a slot tells callers apart; exactly one applies to each request."""
    if slot.by is CountedBy.ROUTE:
        return (Who((), ()),)
    if slot.by is CountedBy.ADDRESS:
        return (Who(((ADDRESS, ""),), (by_address(),)),)
    if slot.by is CountedBy.TENANT:
        return _by_header("tenant", TENANT_HEADER)
    if slot.by is CountedBy.HEADER:
        return _by_header("header", slot.header)
    credentials = (KEY_ID_HEADER, SUBJECT_HEADER)
    return (
        Who((("key_id", ""),), (from_header("key_id", KEY_ID_HEADER),)),
        Who(
            (("without", "key_id"), ("subject", "")),
            (lacking("without", "key_id", KEY_ID_HEADER), from_header("subject", SUBJECT_HEADER)),
        ),
        Who(
            (("without", "credential"), (ADDRESS, "")),
            (lacking("without", "credential", *credentials), by_address()),
        ),
    )


def quota_entries(quota: str, tenant: str) -> tuple[tuple[str, str], ...]:
    """The entries of one quota of one tenant."""
    return ((QUOTA, quota), ("counted", "tenant"), ("tenant", tenant))


def rate_limits(gateway: Gateway, namespace: str, *, exact: bool) -> list[route_v3.RateLimit]:
    """Every descriptor that a request may make for one of the two filters.

    ``namespace`` is that of the routes' metadata.
    """
    slots = sorted({each.slot for each in gateway.shared_of(SlotUse) if each.exact is exact})
    limits = [
        route_v3.RateLimit(
            actions=[from_metadata(LIMIT, namespace, slot.key, of_route=True), *each.actions]
        )
        for slot in slots
        for each in who(slot)
    ]
    quotas = {each.quota for each in gateway.shared_of(TenantQuota) if each.exact is exact}
    return limits + [each for quota in sorted(quotas) for each in _quota(quota, namespace)]


def _quota(quota: str, namespace: str) -> Iterable[route_v3.RateLimit]:
    """By the caller's tenant; for a stranger by the tenant whose route it is.

    Both make the same entries, so both count the same.
    """
    name = Action(generic_key=Action.GenericKey(descriptor_key=QUOTA, descriptor_value=quota))
    known = Action.HeaderValueMatch(descriptor_key="counted", descriptor_value="tenant")
    known.headers.add(name=TENANT_HEADER, present_match=True)
    caller = [name, Action(header_value_match=known), from_header("tenant", TENANT_HEADER)]
    owner = from_metadata("tenant", namespace, "owner", of_route=True)
    yield route_v3.RateLimit(actions=caller)
    yield route_v3.RateLimit(actions=[name, lacking("counted", "tenant", TENANT_HEADER), owner])


@dataclass(frozen=True, slots=True, order=True)
class Numbers:
    """So many requests a window; ``burst`` at once."""

    requests: int
    window_ms: int
    burst: int


def numbers_of(gateway: Gateway, bucket: LimitBucket) -> Numbers | None:
    """The numbers of a bucket, which may be those of a plan; None when the plan is gone."""
    if not bucket.plan:
        return Numbers(bucket.requests, bucket.window_ms, bucket.burst)
    found = next((each for each in gateway.plans if each.name == bucket.plan), None)
    return Numbers(found.requests, found.window_ms, found.burst) if found else None


Counted = tuple[tuple[tuple[str, str], ...], Numbers]
"""The entries of a descriptor and how much it may count."""


def counted(gateway: Gateway, *, exact: bool) -> list[Counted]:
    """Every bucket and quota of one of the two filters."""
    found: list[Counted] = []
    for bucket in gateway.shared_of(LimitBucket):
        numbers = numbers_of(gateway, bucket)
        if bucket.exact is exact and numbers is not None:
            found += [(((LIMIT, bucket.name), *each.entries), numbers) for each in who(bucket.slot)]
    for quota in gateway.shared_of(TenantQuota):
        if quota.exact is exact:
            entries = quota_entries(quota.quota, quota.tenant)
            found.append((entries, Numbers(quota.limit, quota.window_ms, quota.limit)))
    return found
