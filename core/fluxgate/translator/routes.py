"""Routes: from one Route to a fragment of every gateway that serves it.

A Route whose policies cannot be resolved stays in its place and answers 503, so
that no less protected route takes its requests. A Route that has no backend left
answers 502. A Route whose tenant cannot be resolved claims nothing at all: which
hosts it may have is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import Route
from fluxgate.ir import (
    DirectResponse,
    Forward,
    HTTPRoute,
    PlanBucket,
    RouteAction,
)
from fluxgate.resources import ObjectRef
from fluxgate.routing.precedence import route_sort_key
from fluxgate.status import Reason
from fluxgate.translator.cross_origin import variants
from fluxgate.translator.findings import Finding, invalid, partly, rank_of, unresolved, why_first
from fluxgate.translator.forwarding import Forwarding, build_forward, resolve_forwarding
from fluxgate.translator.gateways import GatewayScope
from fluxgate.translator.plugins import Policies
from fluxgate.translator.route_matches import build_match
from fluxgate.translator.route_policies import Protection, resolve_policies
from fluxgate.translator.serving import Fragment, Part
from fluxgate.translator.tables import Claim
from fluxgate.translator.tenants import TenantFact, allowed_hosts, question
from fluxgate.translator.upstreams import SIDECAR
from fluxgate.translator.view import View

REFUSED = DirectResponse(503, "This route is not available: its policies could not be set up.")
NO_BACKEND = DirectResponse(502, "This route has no backend.")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A route that takes part: for whom, on which hosts, and on one gateway to where."""

    route: Route
    ref: ObjectRef
    hosts: tuple[str, ...]
    protection: Protection
    forwarding: Forwarding


def compile_route(ref: ObjectRef, route: Route, view: View) -> Fragment:
    """Translate one Route with what ``view`` knows of everything else."""
    spec = route.spec
    if ref in view.changes.rejected:
        return Fragment()
    if not spec.enabled:
        return Fragment(findings=(invalid("spec.enabled is false", Reason.DISABLED),))
    used = {question(ref.namespace, spec.tenant)}
    tenant = view.tenants.tenant_of(ref.namespace, spec.tenant)
    if isinstance(tenant, Finding):
        return Fragment(findings=(tenant,), used=frozenset(used))
    findings: list[Finding] = []
    hosts = _hosts(route, tenant, findings)
    parts = []
    scopes = _scopes(route, view, findings)
    for scope in scopes:
        placed = _place(ref, route, view, scope, tenant, hosts)
        used |= placed.protection.used | placed.forwarding.used
        findings.extend((*placed.forwarding.findings, *placed.protection.findings))
        listeners = _listeners(route, scope)
        if (aside := _aside(placed, scope)) is not None:
            findings.append(aside)
        elif listeners and hosts:
            parts.append(_part(placed, scope, listeners))
    if not scopes:
        owner = tenant.name if tenant else None
        forwarding = resolve_forwarding(ref, route, view, owner, Policies())
        used |= forwarding.used
        findings.extend(forwarding.findings)
    unique = tuple(dict.fromkeys(findings)) if findings else ()
    return Fragment(tuple(parts), unique, frozenset(used))


def _place(
    ref: ObjectRef,
    route: Route,
    view: View,
    scope: GatewayScope,
    tenant: TenantFact | None,
    hosts: tuple[str, ...],
) -> _Placed:
    protection = resolve_policies(ref, route, view, scope, tenant)
    owner = tenant.name if tenant else None
    forwarding = resolve_forwarding(ref, route, view, owner, protection.policies)
    return _Placed(route, ref, hosts, protection, forwarding)


def _aside(placed: _Placed, scope: GatewayScope) -> Finding | None:
    """A fleet that is shared must not reach its own loopback or sockets for anybody."""
    clusters = (*placed.forwarding.clusters, *placed.protection.clusters)
    closed = sorted(
        {folder for each in clusters for folder in each.settings.sockets} - set(scope.sockets)
    )
    if closed:
        return invalid(
            f"{scope.ref} does not open {', '.join(closed)} to Unix sockets of Upstreams; "
            "spec.upstreamSockets there lists the folders it does"
        )
    if scope.sidecars or not any(each.pool.startswith(SIDECAR) for each in clusters):
        return None
    return invalid(
        f"{scope.ref} has spec.mode Gateway, so it has no application beside it; an Upstream of "
        "type Sidecar needs a route whose spec.gateways names GatewayConfigs of mode Sidecar only"
    )


def _hosts(route: Route, tenant: TenantFact | None, findings: list[Finding]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(route.spec.hosts)) if route.spec.hosts else ()
    hosts, refused = allowed_hosts(wanted, tenant)
    if refused and tenant:
        message = (
            f"spec.hosts: {', '.join(refused)} not allowed for {tenant.ref}; "
            f"allowed: {', '.join(tenant.hosts)}"
        )
        make = partly if hosts else invalid
        findings.append(make(message, Reason.HOST_NOT_ALLOWED))
    return hosts


def _scopes(route: Route, view: View, findings: list[Finding]) -> tuple[GatewayScope, ...]:
    wanted = route.spec.gateways
    # whoever programs a sidecar decides who reaches the application: its own namespace alone
    known = [
        each
        for each in view.scopes
        if not each.sidecars or each.ref.namespace == route.metadata.namespace
    ]
    scopes = tuple(
        [each for each in known if (each.ref.name in wanted if wanted else not each.sidecars)]
    )
    if not wanted and any(_listeners(route, scope) for scope in scopes):
        return scopes
    names = sorted({each.ref.name for each in known})
    listed = ", ".join(names) or "none"
    absent = [name for name in wanted if name not in names]
    if absent:
        findings.append(
            unresolved(
                f"spec.gateways: there is no GatewayConfig {', '.join(absent)}; known: {listed}"
            )
        )
    if not scopes:
        findings.append(
            invalid("no GatewayConfig serves this route; create one", Reason.NO_GATEWAY)
        )
    elif not any(_listeners(route, scope) for scope in scopes):
        listeners = sorted({name for scope in scopes for name in scope.listeners})
        findings.append(
            invalid(
                "spec.listeners: none of these listeners is served; "
                f"served: {', '.join(listeners) or 'none'}",
                Reason.NO_GATEWAY,
            )
        )
    return scopes


def _listeners(route: Route, scope: GatewayScope) -> tuple[str, ...]:
    wanted = route.spec.listeners
    if not wanted:
        return scope.listeners
    return tuple([name for name in scope.listeners if name in wanted])


def _part(placed: _Placed, scope: GatewayScope, listeners: tuple[str, ...]) -> Part:
    protection = placed.protection
    action = _action(placed, scope)
    rank = rank_of(placed.route)
    claims = tuple(
        Claim(
            host,
            index,
            synthetic,
            rank,
            route_sort_key(host, built),
            built,
            placed.forwarding.clusters if isinstance(built.action, Forward) else (),
        )
        for index, synthetic, built in _http_routes(placed, action)
        for host in placed.hosts
    )
    buckets: tuple[PlanBucket, ...] = (protection.bucket,) if protection.bucket else ()
    return Part(
        gateway=scope.key,
        listeners=listeners,
        claims=claims,
        buckets=buckets,
        shared=() if protection.refuse else protection.policies.shared,
        clusters=() if protection.refuse else protection.clusters,
    )


def _action(placed: _Placed, scope: GatewayScope) -> RouteAction:
    policies = placed.protection.policies
    if placed.protection.refuse:
        return REFUSED
    if policies.action is not None:
        return policies.action
    if not placed.forwarding.destinations:
        return NO_BACKEND
    return build_forward(placed.route, placed.forwarding, scope, policies)


def _http_routes(placed: _Placed, action: RouteAction) -> Iterator[tuple[int, bool, HTTPRoute]]:
    """(match number, made up, IR route) for every match."""
    spec, ref, protection = placed.route.spec, placed.ref, placed.protection
    policies = () if protection.refuse else protection.policies.on_route
    clusters = () if protection.refuse else tuple(sorted(each.name for each in protection.clusters))
    created = placed.route.metadata.creation_timestamp
    for index, match in enumerate(spec.matches):
        for variant in variants(build_match(match), protection.cors):
            yield (
                index,
                variant.synthetic,
                HTTPRoute(
                    name=f"route/{ref.namespace}/{ref.name}/{index}{variant.suffix}",
                    origin=ref,
                    match=variant.match,
                    action=action,
                    priority=spec.priority,
                    created=created,
                    key_auth=protection.key_auth,
                    cors=variant.cors,
                    plan=protection.plan,
                    realtime=spec.realtime,
                    policies=policies,
                    clusters=clusters,
                    chain=protection.chain,
                ),
            )
    if not protection.refuse:
        yield from _beside(placed)


def _beside(placed: _Placed) -> Iterator[tuple[int, bool, HTTPRoute]]:
    """What policies add beside the route, open to all."""
    ref, protection = placed.ref, placed.protection
    for each in protection.policies.beside:
        built = HTTPRoute(
            name=f"route/{ref.namespace}/{ref.name}/0/{each.suffix}",
            origin=ref,
            match=each.match,
            action=each.action,
            priority=placed.route.spec.priority,
            created=placed.route.metadata.creation_timestamp,
            chain=protection.chain,
        )
        yield 0, True, built


def conflicts_of(fragment: Fragment, view: View) -> tuple[Finding, ...]:
    """Which claims of a Route others hold; not accepted when none is left."""
    lost: dict[str, None] = {}
    kept = False
    for part in fragment.parts:
        serving = view.serving[part.gateway]
        taken = {(table, id(claim)): holder for table, claim, holder in serving.conflicts(part)}
        for table in serving.tables_of(part):
            for claim in part.claims:
                if claim.synthetic:
                    continue
                holder = taken.get((table, id(claim)))
                if holder is None:
                    kept = True
                else:
                    lost[_conflict(claim, holder)] = None
    if not lost:
        return ()
    shown = list(lost)[:8]
    if len(lost) > len(shown):
        shown.append(f"and {len(lost) - len(shown)} more")
    make = partly if kept else invalid
    return (make("; ".join(shown), Reason.CONFLICTED),)


def _conflict(claim: Claim, holder: Claim) -> str:
    path = claim.route.match.path
    where = f"spec.matches[{claim.index}]: {path.kind} {path.value} on host {claim.host}"
    if holder.route.origin == claim.route.origin:
        return f"{where} repeats spec.matches[{holder.index}]; remove one"
    first = why_first(holder.route.created, claim.route.created)
    return (
        f"{where} is already claimed by {holder.route.origin}, which {first}; "
        "change the match or the priority"
    )
