"""The steps of a translation, in the order in which facts depend on one another.

Each step looks at what changed (``view.dirty``), renews its own facts, and adds to
``view.dirty`` what changed by that, or takes out what turned out to be the same. A
first translation is the same walk with everything changed.
"""

from __future__ import annotations

from fluxgate.resources import ObjectRef, Secret, ref_of
from fluxgate.translator.backends import resolve_backend
from fluxgate.translator.destinations import Resolved
from fluxgate.translator.gateways import GatewayFact, GatewayScope, build_gateway
from fluxgate.translator.key_table import read_key
from fluxgate.translator.policies import read_plugin
from fluxgate.translator.routes import compile_route
from fluxgate.translator.server_certificates import certificates_for, permitted
from fluxgate.translator.serving import Fragment, Part, Serving
from fluxgate.translator.tenants import build_tenants, question
from fluxgate.translator.upstreams import resolve_upstream, sidecar_pool, upstream_pool
from fluxgate.translator.view import View


def process_tenants(view: View) -> None:
    """Index all tenants again when one changed."""
    changed = view.changed("Tenant")
    if not changed:
        return
    tenants, rejected = view.resources.tenants, view.changes.rejected
    before = view.tenants
    view.tenants = build_tenants(each for ref, each in tenants.items() if ref not in rejected)
    old, new = before.answers(), view.tenants.answers()
    view.dirty |= {ref for ref in old.keys() | new.keys() if old.get(ref) != new.get(ref)}
    for ref in changed | before.findings.keys() | view.tenants.findings.keys():
        if ref in changed or before.findings.get(ref) != view.tenants.findings.get(ref):
            found = view.tenants.findings.get(ref, ())
            view.note(ref, found if ref in tenants else None)


def process_gateways(view: View) -> None:
    """Translate the GatewayConfigs that changed, or whose Secrets did."""
    changed = view.changed("GatewayConfig")
    added = view.changed("ServerCertificates")
    asked = view.changed("Secret") | added | view.changed("tenant-of")
    changed |= view.dependent("GatewayConfig", asked)
    now = view.resources.server_certificates
    changed |= {now[ref].gateway for ref in added if ref in now}
    if _quotas_changed(view):
        changed |= view.resources.gateway_configs.keys()
    for ref in changed:
        before, after = view.gateways.pop(ref, None), _gateway(ref, view)
        if after is not None:
            view.gateways[ref] = after
        if (before and before.scope) != (after and after.scope):
            _forget_routes(view)
    if changed:
        scopes = (fact.scope for fact in view.gateways.values())
        view.scopes = tuple(sorted(scopes, key=lambda scope: scope.key))


def _quotas_changed(view: View) -> bool:
    """Whether tenants' quotas are now counted by others than before, which routes have to know."""
    before, now = view.quota_policies, frozenset(each.policy for each in view.tenants.quotas)
    view.quota_policies = now
    return before != now


def _gateway(ref: ObjectRef, view: View) -> GatewayFact | None:
    config = view.resources.gateway_configs.get(ref)
    if config is None or ref in view.changes.rejected:
        view.dependents.drop(ref)
        view.note(ref, None if config is None else ())
        return None
    added = certificates_for(view.resources, ref)
    looked_at: set[ObjectRef] = {ref_of(each) for each in added}
    looked_at |= {question(each.namespace) for each in added}
    added = permitted(added, view.tenants)

    def lookup(secret: ObjectRef) -> Secret | None:
        looked_at.add(secret)
        return view.secret(secret)

    fact = build_gateway(config, lookup, added, view.tenants)
    view.dependents.put(ref, frozenset(looked_at))
    view.note(ref, fact.findings)
    return fact


def _forget_routes(view: View) -> None:
    """What every route and key inherits changed: look at all of them again."""
    view.fragments.clear()
    view.serving.clear()
    view.dirty |= view.resources.routes.keys()
    view.dirty |= view.resources.api_keys.keys()


def process_plugins(view: View) -> None:
    """Check the Plugins that changed or name what did; whom they are attached to looks again."""
    for ref in view.changed("Plugin") | view.dependent("Plugin", view.dirty):
        plugin = view.resources.plugins.get(ref)
        if plugin is None:
            view.dirty |= view.plugins.put(ref, None, None)
            view.dependents.drop(ref)
            view.note(ref, None)
        else:
            fact, findings = read_plugin(plugin, view.changes.rejected.get(ref), view.absent)
            view.dependents.put(ref, frozenset(fact.references))
            view.dirty |= view.plugins.put(ref, plugin, fact)
            view.note(ref, findings)


def process_services(view: View) -> None:
    """Note new endpoints; only other ports make anyone look again."""
    for ref in view.changed("Service"):
        service = view.service(ref)
        before = view.service_ports.pop(ref, None)
        after = None if service is None else frozenset(service.ports)
        if after is not None:
            view.service_ports[ref] = after
        view.stale_pools.add(f"service/{ref.namespace}/{ref.name}:")
        if before is not None and before == after:
            view.dirty.discard(ref)


def process_upstreams(view: View) -> None:
    """Resolve the Upstreams that changed; new endpoints alone make no one look again."""
    changed = view.changed("Upstream")
    for ref in changed | view.dependent("Upstream", view.dirty):
        upstream = view.resources.upstreams.get(ref)
        view.stale_pools |= {
            upstream_pool(ref.namespace, ref.name),
            sidecar_pool(ref.namespace, ref.name),
        }
        usable = upstream is not None and ref not in view.changes.rejected
        resolved = resolve_upstream(upstream, view.secret) if upstream and usable else None
        _settle(view, ref, resolved, exists=upstream is not None)


def process_backends(view: View) -> None:
    """Resolve the Backends that changed, or that refer to something that did."""
    lookups = view.lookups()
    settled: dict[ObjectRef, Resolved | None] = {}
    for ref in view.changed("Backend") | view.dependent("Backend", view.dirty):
        backend = view.usable_backend(ref)
        view.stale_pools.add(f"backend/{ref.namespace}/{ref.name}")
        settled[ref] = resolve_backend(backend, lookups) if backend else None
    for ref, resolved in settled.items():
        _settle(view, ref, resolved, exists=ref in view.resources.backends)


def _settle(view: View, ref: ObjectRef, resolved: Resolved | None, *, exists: bool) -> None:
    """Keep what a Backend or Upstream resolved to, and whether that is news to routes."""
    before = view.destination(ref)
    view.destinations.pop(ref, None)
    view.dirty.add(ref)
    if resolved is None:
        view.dependents.drop(ref)
    else:
        view.destinations[ref] = resolved
        view.dependents.put(ref, resolved.used)
        if before is not None and before == resolved.destination:
            view.dirty.discard(ref)
    view.note(ref, (resolved.findings if resolved else ()) if exists else None)


def process_routes(view: View) -> None:
    """Take out the fragments of Routes that have to be looked at, and put in new ones."""
    routes = view.changed("Route") | view.dependent("Route", view.dirty)
    for ref in routes:
        old = view.fragments.pop(ref, Fragment())
        for part in old.parts:
            view.serving[part.gateway].select(part, -1)
            view.touched |= view.serving[part.gateway].remove(part)
    parts: list[Part] = []
    for ref in routes:
        route = view.resources.routes.get(ref)
        view.touched.add(ref)
        if route is None:
            view.dependents.drop(ref)
            continue
        fragment = view.fragments[ref] = compile_route(ref, route, view)
        view.dependents.put(ref, fragment.used)
        parts.extend(fragment.parts)
    _serve(parts, view)


def _serve(parts: list[Part], view: View) -> None:
    """Add ``parts`` to their gateways, whose tables are made anew where listeners are regrouped."""
    for scope in view.scopes:
        mine = [part for part in parts if part.gateway == scope.key]
        serving = view.serving.get(scope.key)
        if serving is None:
            serving = view.serving[scope.key] = _serving(scope, mine)
        for part in mine:
            serving.select(part, 1)
        if not serving.fits():
            fragments = view.fragments.values()
            mine = [each for one in fragments for each in one.parts if each.gateway == scope.key]
            serving = view.serving[scope.key] = _serving(scope, mine)
            for part in mine:
                serving.select(part, 1)
            view.touched |= view.fragments.keys()
        for part in mine:
            view.touched |= serving.add(part)


def _serving(scope: GatewayScope, parts: list[Part]) -> Serving:
    return Serving.of(scope.key, scope.listeners, parts, scope.clusters)


def process_api_keys(view: View) -> None:
    """Translate the ApiKeys that changed, or whose tenant did."""
    for ref in view.changed("ApiKey") | view.dependent("ApiKey", view.dirty):
        key = view.resources.api_keys.get(ref)
        if key is None or ref in view.changes.rejected:
            view.touched |= view.keys.put(ref, None)
            view.dependents.drop(ref)
            continue
        fact = read_key(key, view.tenants, view.scopes)
        view.touched |= view.keys.put(ref, fact)
        view.dependents.put(ref, fact.used)
