"""What a BackendRef leads to: from routes, and from the configs of policies."""

from __future__ import annotations

from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.resources import ObjectRef
from fluxgate.status import Reason
from fluxgate.translator.backends import Lookups, may_use, service_problem
from fluxgate.translator.clusters import ClusterSettings, ClusterSpec
from fluxgate.translator.destinations import (
    Destination,
    Share,
    service_pool,
    url_cluster,
    url_pool,
)
from fluxgate.translator.findings import Finding, unresolved


def resolve_backend_ref(
    where: str,
    backend: BackendRef,
    owner: ObjectRef,
    lookups: Lookups,
    tenant: str | None,
    used: set[ObjectRef],
    findings: list[Finding],
) -> Destination | None:
    """The destination of ``backend``, which stands at ``where`` in ``owner``.

    None when it leads nowhere: ``findings`` then say why. ``used`` gets what was looked at.
    """
    if backend.url is not None:
        cluster = url_cluster(backend.url, url_pool(backend.url), owner)
        return Destination((Share(cluster, 1),))
    target = ObjectRef(backend.kind, owner.namespace, backend.name or "")
    used.add(target)
    if backend.kind == "Service":
        return _service(where, backend, target, owner, lookups, findings)
    destination = lookups.upstream(target)
    if destination is None:
        findings.append(unresolved(f"{where}: {lookups.missing(target)}"))
        return None
    if not may_use(tenant, destination.tenant):
        message = f"{where}: {target} belongs to another tenant"
        findings.append(unresolved(message, Reason.REF_NOT_PERMITTED))
        return None
    return destination


def _service(
    where: str,
    backend: BackendRef,
    target: ObjectRef,
    owner: ObjectRef,
    lookups: Lookups,
    findings: list[Finding],
) -> Destination | None:
    port = backend.port or 0
    problem = service_problem(where, lookups.service(target), target, port, lookups)
    if problem is not None:
        findings.append(problem)
        return None
    pool = service_pool(target.namespace, target.name, port)
    return Destination((Share(ClusterSpec.of(pool, ClusterSettings(), (owner,)), 1),))
