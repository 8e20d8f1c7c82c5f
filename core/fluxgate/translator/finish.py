"""The last steps: whole gateways, and the status of every object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from fluxgate.api.v1alpha1 import Resource
from fluxgate.ir import ApiKeyTable, CertificateIR, Cluster, Gateway, Shared
from fluxgate.resources import ObjectRef
from fluxgate.translator.certificates import certificate_of
from fluxgate.translator.findings import Finding, status_of
from fluxgate.translator.gateways import GatewayFact
from fluxgate.translator.no_effect import without_effect
from fluxgate.translator.plugins.base import CertificateUse
from fluxgate.translator.rate_limit_service import gateway_limits
from fluxgate.translator.routes import conflicts_of
from fluxgate.translator.serving import in_order
from fluxgate.translator.view import Built, View


def finish_gateways(view: View) -> dict[str, Gateway]:
    """Put the gateways together; one in which nothing changed is the same object as before."""
    before, view.built = view.built, {}
    for fact in sorted(view.gateways.values(), key=lambda fact: fact.scope.key):
        view.built[fact.scope.key] = _finish(fact, before.get(fact.scope.key), view)
    view.stale_pools.clear()
    return {key: built.gateway for key, built in view.built.items()}


def _finish(fact: GatewayFact, before: Built | None, view: View) -> Built:
    key, base = fact.scope.key, fact.base
    serving = view.serving[key]
    serving.clusters.endpoints_changed(view.stale_pools)
    clusters = serving.clusters.clusters(view.endpoints)
    keys = view.keys.table(key)
    tables = serving.route_tables()
    shared = in_order((*serving.shared(), *_limits(fact, view)))
    listeners = tuple(
        [replace(each, route_table=serving.names[each.name]) for each in base.listeners]
    )
    plans = tuple(sorted((*base.plans, *serving.buckets()), key=lambda plan: plan.name))
    if before is not None and before.base is base and not view.changed("Secret"):
        old = before.gateway
        same = (
            len(tables) == len(old.route_tables)
            and all(new is known for new, known in zip(tables, old.route_tables, strict=True))
            and listeners == old.listeners
            and clusters is old.clusters
            and keys is old.api_keys.keys
            and plans == old.plans
            and shared == old.shared
        )
        if same:
            return before
    gateway = replace(
        base,
        listeners=listeners,
        route_tables=tables,
        clusters=clusters,
        api_keys=ApiKeyTable(base.api_keys.prefixes, keys),
        plans=plans,
        shared=shared,
        certificates=_certificates(base, clusters, shared, before, view),
    )
    return Built(gateway, base)


def _limits(fact: GatewayFact, view: View) -> tuple[Shared, ...]:
    """What the gateway has for limits; made anew when it or a tenant changed."""
    known = view.limits.get(fact.scope.key)
    if known is None or known[0] is not view.tenants or known[1] is not fact:
        config = view.resources.gateway_configs[fact.scope.ref]
        made = gateway_limits(config, fact.scope.rate_limit_service, view.tenants)
        known = view.limits[fact.scope.key] = (view.tenants, fact, made)
    return known[2]


def _certificates(
    base: Gateway,
    clusters: tuple[Cluster, ...],
    shared: tuple[Shared, ...],
    before: Built | None,
    view: View,
) -> tuple[CertificateIR, ...]:
    unchanged = (
        before is not None
        and before.base is base
        and before.gateway.clusters is clusters
        and before.gateway.shared == shared
    )
    if before is not None and unchanged and not view.changed("Secret"):
        return before.gateway.certificates
    names = {name for name in _certificate_names(base, clusters) if name}
    names |= {each.name for each in shared if isinstance(each, CertificateUse)}
    found = (certificate_of(name, view.secret) for name in sorted(names))
    return tuple(each for each in found if each is not None)


def _certificate_names(base: Gateway, clusters: tuple[Cluster, ...]) -> Iterator[str]:
    for listener in base.listeners:
        if listener.tls is not None:
            yield from listener.tls.certificates
            yield listener.tls.client_ca
            yield from (each.certificate for each in listener.tls.by_name)
    for cluster in clusters:
        if cluster.tls is not None:
            yield cluster.tls.ca_secret
            yield cluster.tls.client_secret


def finish_statuses(view: View) -> None:
    """Make the statuses of every object that was touched."""
    for ref in view.touched:
        obj = view.resources.get(ref)
        if isinstance(obj, Resource):
            rejected = view.changes.rejected.get(ref)
            generation = obj.metadata.generation
            findings = (*_findings(ref, view), *without_effect(obj, exposes=view.exposes))
            view.statuses[ref] = status_of(ref, generation, findings, rejected)
        else:
            view.statuses.pop(ref, None)


def _findings(ref: ObjectRef, view: View) -> tuple[Finding, ...]:
    if ref.kind == "Route":
        fragment = view.fragments.get(ref)
        if fragment is None:
            return ()
        return (*fragment.findings, *conflicts_of(fragment, view))
    if ref.kind == "ApiKey":
        return view.keys.findings(ref) if ref in view.keys.facts else ()
    return view.findings.get(ref, ())
