"""API keys: who they stand for, and the tables of the gateways that know their form."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fluxgate.api.v1alpha1 import ApiKey
from fluxgate.ir import ApiKeyIR
from fluxgate.resources import ObjectRef, ref_of
from fluxgate.status import Reason
from fluxgate.translator.findings import Finding, invalid, partly, rank_of, unresolved, why_first
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.key_bounds import KeyBounds, KeyFact
from fluxgate.translator.tenants import TenantFact, TenantIndex, question


def read_key(key: ApiKey, tenants: TenantIndex, scopes: Iterable[GatewayScope]) -> KeyFact:
    """Translate one ApiKey. Whatever is unclear about a key leaves it out: closed."""
    ref, spec = ref_of(key), key.spec
    used = frozenset({question(ref.namespace, spec.tenant)})
    tenant = tenants.tenant_of(ref.namespace, spec.tenant)
    findings: list[Finding] = []
    entries: dict[str, ApiKeyIR] = {}
    if isinstance(tenant, Finding):
        findings.append(tenant)
    elif spec.revoked or spec.revoked_at is not None:
        findings.append(invalid("the key is revoked", Reason.DISABLED))
    elif tenant is not None and tenant.suspended:
        findings.append(invalid(f"{tenant.ref} is suspended", Reason.DISABLED))
    else:
        entries = _entries(key, tenant, list(scopes), findings)
    fact = KeyFact(ref, rank_of(key), spec.hash, entries, tuple(findings), used)
    if isinstance(tenant, TenantFact):
        return replace(fact, tenant=tenant.name, most=tenant.max_active_keys)
    return fact


def _entries(
    key: ApiKey, tenant: TenantFact | None, scopes: list[GatewayScope], findings: list[Finding]
) -> dict[str, ApiKeyIR]:
    spec = key.spec
    plan = spec.plan or (tenant.plan if tenant else None) or ""
    entries: dict[str, ApiKeyIR] = {}
    knowing = [scope for scope in scopes if spec.prefix in dict(scope.audiences)]
    if not knowing:
        known = sorted({prefix for scope in scopes for prefix, _ in scope.audiences})
        listed = ", ".join(known) or "none, because there is no GatewayConfig"
        message = (
            f"spec.prefix: no gateway knows keys that begin with {spec.prefix!r}; known: {listed}"
        )
        findings.append(invalid(message, Reason.NO_GATEWAY))
    lacking: list[str] = []
    for scope in knowing:
        audience = dict(scope.audiences)[spec.prefix]
        if spec.bypasses_row_security and "anon" in (audience, spec.audience):
            message = "spec.bypassesRowSecurity: an anon key never bypasses row-level security"
            findings.append(invalid(message))
        elif plan and plan not in scope.plans:
            lacking.append(scope.key)
        else:
            entries[scope.key] = _entry(key, tenant, plan, spec.audience or audience)
    if lacking:
        # without its plan the key would be unlimited
        message = f"spec.plan: there is no plan {plan!r} on {', '.join(sorted(lacking))}; add it to spec.plans of the GatewayConfig"
        findings.append(partly(message, Reason.REF_NOT_FOUND) if entries else unresolved(message))
    return entries


def _entry(key: ApiKey, tenant: TenantFact | None, plan: str, audience: str) -> ApiKeyIR:
    spec, ref = key.spec, ref_of(key)
    key_id = f"{ref.namespace}/{ref.name}"
    return ApiKeyIR(
        origin=ref,
        sha256=spec.hash,
        key_id=key_id,
        tenant=tenant.name if tenant else "",
        workspace=spec.workspace or "",
        subject=spec.subject or key_id,
        role=spec.role or "",
        audience=audience,
        scopes=scopes_of(spec.scopes, spec.privilege_domains, spec.sub_domains),
        plan=plan,
        expires_at=int(spec.expires_at.timestamp()) if spec.expires_at else 0,
        allowed_cidrs=spec.allowed_cidrs,
    )


def scopes_of(
    scopes: Iterable[str], privilege_domains: Iterable[str], sub_domains: Iterable[str]
) -> tuple[str, ...]:
    """Scopes and domains in one list: a domain is a scope with a prefix no user can leave out."""
    return tuple(
        sorted(
            {
                *scopes,
                *(f"privilege_domain:{each}" for each in privilege_domains),
                *(f"sub_domain:{each}" for each in sub_domains),
            }
        )
    )


@dataclass(slots=True)
class KeyTables:
    """All keys, and who holds each digest: the older of two keys with the same."""

    facts: dict[ObjectRef, KeyFact] = field(default_factory=dict)
    _claims: dict[str, list[KeyFact]] = field(default_factory=dict)
    _digests: list[str] = field(default_factory=list)
    _added: set[str] = field(default_factory=set)
    _bounds: KeyBounds = field(default_factory=KeyBounds)
    _tables: dict[str, tuple[ApiKeyIR, ...]] = field(default_factory=dict)
    stale: bool = True

    def put(self, ref: ObjectRef, fact: KeyFact | None) -> set[ObjectRef]:
        """Replace or remove (None) one key; returns the keys whose status may change."""
        concerned = {ref}
        before = self.facts.pop(ref, None)
        concerned |= self._bounds.replace(before, fact)
        if before is not None:
            claims = self._claims[before.digest]
            claims.remove(before)
            concerned |= {each.ref for each in claims}
            if not claims:
                self._forget(before.digest)
        if fact is not None:
            self.facts[ref] = fact
            claims = self._claims.setdefault(fact.digest, [])
            if not claims:
                self._added.add(fact.digest)
            claims.append(fact)
            claims.sort(key=lambda each: each.rank)
            concerned |= {each.ref for each in claims}
        self.stale = True
        return concerned

    def _forget(self, digest: str) -> None:
        del self._claims[digest]
        if digest in self._added:
            self._added.discard(digest)
        else:
            del self._digests[bisect_left(self._digests, digest)]

    def findings(self, ref: ObjectRef) -> tuple[Finding, ...]:
        """What is wrong with a key, among it that another key has its digest."""
        fact = self.facts[ref]
        holder = self._claims[fact.digest][0]
        if holder is fact and not self._bounds.exceeds(fact):
            return fact.findings
        if holder is fact:
            message = (
                f"Tenant {fact.tenant} may have {fact.most} keys (spec.maxActiveKeys), and as many "
                "are older; revoke one of them, or allow more"
            )
            return (invalid(message, Reason.DISABLED), *fact.findings)
        why = why_first(holder.rank[0], fact.rank[0])
        conflict = invalid(
            f"spec.hash: {holder.ref} {why} and has the same; mint a key of its own",
            Reason.CONFLICTED,
        )
        return (conflict, *fact.findings)

    def table(self, gateway: str) -> tuple[ApiKeyIR, ...]:
        """The keys of one gateway, sorted by digest; the same tuple when nothing changed."""
        if self.stale:
            self._settle()
        if gateway not in self._tables:
            self._tables[gateway] = tuple(
                entry
                for digest in self._digests
                if (entry := self._claims[digest][0].entries.get(gateway)) is not None
                and not self._bounds.exceeds(self._claims[digest][0])
            )
        return self._tables[gateway]

    def _settle(self) -> None:
        if len(self._added) > 64:
            self._digests = sorted([*self._digests, *self._added])
        else:
            for digest in self._added:
                insort(self._digests, digest)
        self._added.clear()
        self._tables.clear()
        self.stale = False
