"""Which Secrets and Services the objects in the store refer to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from fluxgate.api.v1alpha1 import Backend, GatewayConfig, Plugin, Route, Upstream
from fluxgate.api.v1alpha1.policy import BackendTLS, SecretRef
from fluxgate.resources import Object, ObjectRef, ResourceStore, ServerCertificates, ref_of
from fluxgate.translator.config_refs import references_in
from fluxgate.translator.policies import read_config

_REFERRING = ("Route", "Plugin", "Backend", "Upstream", "GatewayConfig", "ServerCertificates")


class References:
    """Counts the references of the store's objects; only objects that changed are read again.

    The store is compared, not the events: others than the provider write to it as well
    (Ingresses become Routes there).
    """

    def __init__(self, store: ResourceStore) -> None:
        self._store = store
        self._seen: dict[str, Mapping[ObjectRef, Object]] = {}
        self._counts: Counter[ObjectRef] = Counter()
        self._wanted: dict[str, frozenset[tuple[str, str]]] = {}

    def recount(self) -> bool:
        """Look at what changed; returns whether the set of referred objects did."""
        resources = self._store.freeze()
        before = set(self._counts)
        for kind in _REFERRING:
            new, old = resources.objects.get(kind, {}), self._seen.get(kind, {})
            if new is not old:
                self._seen[kind] = new
                self._compare(old, new)
        if before == set(self._counts):
            return False
        self._wanted = {
            kind: frozenset((ref.namespace, ref.name) for ref in self._counts if ref.kind == kind)
            for kind in ("Secret", "Service")
        }
        return True

    def of(self, kind: str) -> frozenset[tuple[str, str]]:
        """Namespaces and names of the Secrets, or Services, that are referred to."""
        return self._wanted.get(kind, frozenset())

    def _compare(self, old: Mapping[ObjectRef, Object], new: Mapping[ObjectRef, Object]) -> None:
        for ref, obj in new.items():
            if (before := old.get(ref)) is not obj:
                self._counts.update(referred(obj))
                if before is not None:
                    self._discard(before)
        if len(old) + sum(ref not in old for ref in new) != len(new):
            for ref in old.keys() - new.keys():
                self._discard(old[ref])

    def _discard(self, obj: Object) -> None:
        for ref in referred(obj):
            self._counts[ref] -= 1
            if not self._counts[ref]:
                del self._counts[ref]


def referred(obj: Object) -> Iterator[ObjectRef]:
    """The Secrets and Services that ``obj`` names, once for every time it does."""
    namespace = ref_of(obj).namespace
    match obj:
        case Route():
            yield from _route(obj, namespace)
        case Plugin():
            yield from _config(obj.spec.type, obj.spec.config, namespace)
        case Backend():
            if obj.spec.service is not None:
                yield ObjectRef("Service", namespace, obj.spec.service.name)
            yield from _tls(obj.spec.tls, namespace)
        case Upstream():
            yield from _tls(obj.spec.tls, namespace)
        case GatewayConfig():
            yield from _gateway(obj, namespace)
        case ServerCertificates():
            for certificate in obj.certificates:
                yield certificate.secret
        case _:
            return


def _route(route: Route, namespace: str) -> Iterator[ObjectRef]:
    spec = route.spec
    copies = (*((spec.mirror,) if spec.mirror else ()), *spec.mirrors)
    for each in (*spec.backends, *(copy.backend for copy in copies)):
        if each.kind == "Service" and each.name:
            yield ObjectRef("Service", namespace, each.name)
    for use in spec.plugins:
        if use.type is not None:
            yield from _config(use.type, use.config, namespace)


def _config(kind: str, config: Mapping[str, Any], namespace: str) -> Iterator[ObjectRef]:
    """What the config of a policy names; nothing when it is not one, which its object then says."""
    model, _, _ = read_config(kind, config)
    if model is not None:
        for _, ref in references_in(model, namespace):
            if ref.kind in ("Secret", "Service"):
                yield ref


def _tls(tls: BackendTLS | None, namespace: str) -> Iterator[ObjectRef]:
    if tls is not None:
        yield from _secrets((tls.ca_certificate_ref, tls.client_certificate_ref), namespace)


def _gateway(config: GatewayConfig, namespace: str) -> Iterator[ObjectRef]:
    for listener in config.spec.listeners:
        if listener.tls is not None:
            yield from _secrets(listener.tls.certificate_refs, namespace)
            if (validation := listener.tls.client_validation) is not None:
                yield from _secrets((validation.ca_certificate_ref,), namespace)
    yield from _secrets((config.spec.exposure.tls_secret_ref,), namespace)


def _secrets(refs: tuple[SecretRef | None, ...], namespace: str) -> Iterator[ObjectRef]:
    for each in refs:
        if each is not None:
            yield ObjectRef("Secret", each.namespace or namespace, each.name)
