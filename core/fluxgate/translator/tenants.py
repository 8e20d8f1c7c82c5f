"""Tenants: which tenant an object belongs to, and what that allows.

A Tenant's name becomes an identity (``x-tenant-id``), so it is unique across
namespaces: the older keeps it. A namespace that a Tenant of another namespace
claims by ``spec.namespace`` belongs to it: every object there is that tenant's,
whether it says so or not, and no other Tenant can be declared inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from fluxgate.api.v1alpha1 import Tenant
from fluxgate.api.v1alpha1.tenant import Quota
from fluxgate.resources import ObjectRef, ref_of
from fluxgate.routing.hosts import covers
from fluxgate.status import Reason
from fluxgate.translator.findings import Finding, invalid, rank_of, unresolved, why_first


@dataclass(frozen=True, slots=True)
class TenantFact:
    """What translation needs to know of a tenant."""

    name: str
    namespace: str
    ref: ObjectRef
    hosts: tuple[str, ...] = ()
    plan: str | None = None
    cors_origins: tuple[str, ...] = ()
    suspended: bool = False
    quotas: tuple[Quota, ...] = ()
    max_active_keys: int | None = None


@dataclass(frozen=True, slots=True)
class TenantIndex:
    """All valid tenants, by the namespace their objects live in."""

    by_name: dict[tuple[str, str], TenantFact] = field(default_factory=dict)
    owners: dict[str, tuple[TenantFact, ...]] = field(default_factory=dict)
    findings: dict[ObjectRef, tuple[Finding, ...]] = field(default_factory=dict)

    @property
    def quotas(self) -> Iterator[Quota]:
        """The quotas that tenants have of their own."""
        return (quota for fact in self.by_name.values() for quota in fact.quotas)

    def answers(self) -> dict[ObjectRef, object]:
        """Every answer :meth:`tenant_of` can give, by the reference that asks for it."""
        named: dict[ObjectRef, object] = {
            question(namespace, name): fact for (namespace, name), fact in self.by_name.items()
        }
        return named | {question(namespace): facts for namespace, facts in self.owners.items()}

    def tenant_of(self, namespace: str, name: str | None) -> TenantFact | Finding | None:
        """The tenant of an object in ``namespace`` that names ``name``; None if it has none."""
        if name is not None:
            fact = self.by_name.get((namespace, name))
            return fact or unresolved(
                f"spec.tenant: there is no Tenant {name!r} for the namespace {namespace!r}; "
                "create it, or set its spec.namespace"
            )
        owners = self.owners.get(namespace, ())
        if len(owners) > 1:
            names = ", ".join(sorted(fact.name for fact in owners))
            return unresolved(
                f"spec.tenant: the namespace {namespace!r} belongs to the tenants {names}; "
                "say which one",
                Reason.REF_NOT_PERMITTED,
            )
        return owners[0] if owners else None


def question(namespace: str, name: str | None = None) -> ObjectRef:
    """What an object depends on when it asks for its tenant."""
    return ObjectRef("tenant-of", namespace, name or "")


def build_tenants(tenants: Iterable[Tenant]) -> TenantIndex:
    """Index ``tenants``; the findings hold an entry for every one of them."""
    index = TenantIndex()
    ordered = sorted(tenants, key=rank_of)
    by_identity: dict[str, Tenant] = {}
    claimed: dict[str, list[Tenant]] = {}
    for tenant in ordered:
        if tenant.spec.namespace not in (None, tenant.metadata.namespace):
            claimed.setdefault(str(tenant.spec.namespace), []).append(tenant)
    owners: dict[str, list[TenantFact]] = {}
    for tenant in ordered:
        ref = ref_of(tenant)
        first = by_identity.get(tenant.metadata.name)
        index.findings[ref] = found = _conflicts(tenant, first, claimed)
        if found:
            continue
        by_identity[tenant.metadata.name] = tenant
        fact = _fact(tenant, ref)
        index.by_name[fact.namespace, fact.name] = fact
        if fact.namespace in claimed:
            owners.setdefault(fact.namespace, []).append(fact)
    index.owners.update({namespace: tuple(facts) for namespace, facts in owners.items()})
    return index


def _conflicts(
    tenant: Tenant, first: Tenant | None, claimed: dict[str, list[Tenant]]
) -> tuple[Finding, ...]:
    if first is not None:
        why = why_first(first.metadata.creation_timestamp, tenant.metadata.creation_timestamp)
        message = (
            f"metadata.name: {ref_of(first)} {why} and has this name, which is an identity "
            "across namespaces; choose another"
        )
        return (invalid(message, Reason.CONFLICTED),)
    home = tenant.metadata.namespace
    if tenant.spec.namespace in (None, home) and home in claimed:
        owner = ref_of(claimed[home][0])
        message = f"metadata.namespace: the namespace {home!r} belongs to {owner}"
        return (invalid(message, Reason.CONFLICTED),)
    return ()


def _fact(tenant: Tenant, ref: ObjectRef) -> TenantFact:
    spec = tenant.spec
    return TenantFact(
        name=ref.name,
        namespace=spec.namespace or ref.namespace,
        ref=ref,
        hosts=spec.hosts,
        plan=spec.plan,
        cors_origins=spec.cors_origins,
        suspended=spec.suspended,
        quotas=spec.quotas,
        max_active_keys=spec.max_active_keys,
    )


def allowed_hosts(
    wanted: tuple[str, ...], tenant: TenantFact | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts a route may claim, and those it may not.

    A route without hosts of its own claims all its tenant's, or any.
    """
    granted = tenant.hosts if tenant else ()
    if not granted:
        return wanted or ("*",), ()
    if not wanted:
        return granted, ()
    good = tuple(host for host in wanted if any(covers(pattern, host) for pattern in granted))
    return good, tuple(host for host in wanted if host not in good)
