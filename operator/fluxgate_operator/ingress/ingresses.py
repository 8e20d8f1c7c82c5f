"""Ingresses in the store: every replica keeps the Routes they amount to up to date."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from structlog.typing import FilteringBoundLogger

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.resources import ObjectRef, ResourceStore, ref_of
from fluxgate_operator.ingress.classes import GATEWAY, IngressClass, class_of, read_class
from fluxgate_operator.ingress.read import Ingress, read_ingress
from fluxgate_operator.ingress.services import Key, ServicePorts
from fluxgate_operator.ingress.translate import KIND, Translated, translate_ingress
from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import INGRESS_CLASSES, INGRESSES, SERVICES, KubeType
from fluxgate_operator.notify import Signal
from fluxgate_operator.providers.kubernetes.intake import Intake

MADE_BY_EXPOSURE = "gateway.fluxgate.io/exposure"
"""Label of the Ingresses that we make ourselves: never an input, or they would feed themselves."""


class OurIngress:
    """An Ingress of ours: what it says, its class, and what it became."""

    __slots__ = ("class_", "gateway", "ingress", "translated")

    def __init__(self, ingress: Ingress, class_: IngressClass) -> None:
        self.ingress = ingress
        self.class_ = class_
        self.gateway: ObjectRef | None = None
        self.translated = Translated()


class Ingresses:
    """Reads Ingresses, IngressClasses and Services; writes Routes and certificates to the store.

    Everything is called on the store's event loop. :meth:`settle` before the store is frozen
    makes sure that what depends on GatewayConfigs is up to date.
    """

    def __init__(self, store: ResourceStore, ingress_class: str, log: FilteringBoundLogger) -> None:
        self._store = store
        self._own_name = ingress_class
        self._log = log
        self._documents: dict[Key, Document] = {}
        self._classes: dict[str, IngressClass] = {}
        self._ours: dict[Key, OurIngress] = {}
        self._users: dict[Key, set[Key]] = {}
        self._services = ServicePorts(self._service_changed)
        self._gateways: Mapping[ObjectRef, GatewayConfig] = {}
        self.changed = Signal()

    def intakes(self) -> Mapping[KubeType, Intake]:
        """What the provider feeds."""
        return MappingProxyType(
            {
                INGRESSES: _IngressIntake(self),
                INGRESS_CLASSES: _ClassIntake(self),
                SERVICES: self._services,
            }
        )

    def settle(self) -> None:
        """Look again at the Ingresses that name no GatewayConfig, should the first one be another."""
        gateways = self._store.freeze().gateway_configs
        if gateways is self._gateways:
            return
        before, self._gateways = self._first(), gateways
        if self._first() != before:
            self._again(key for key, each in self._ours.items() if not each.class_.gateway)

    def ours(self) -> Mapping[ObjectRef, OurIngress]:
        """The Ingresses that are served."""
        return {ObjectRef(KIND, *key): each for key, each in self._ours.items()}

    def put_ingress(self, document: Document) -> None:
        """An Ingress is there, new or changed."""
        meta = document["metadata"]
        key = meta["namespace"], meta["name"]
        if MADE_BY_EXPOSURE in (meta.get("labels") or {}):
            self.drop_ingress(key)
            return
        kept = {name: value for name, value in meta.items() if name != "managedFields"}
        self._documents[key] = {**document, "metadata": kept}
        self._update(key)

    def drop_ingress(self, key: Key) -> None:
        """An Ingress is gone."""
        if self._documents.pop(key, None) is not None:
            self._update(key)

    def put_class(self, name: str, document: Document | None) -> None:
        """An IngressClass is there, changed or (None) gone."""
        found = read_class(document) if document is not None else None
        if found == self._classes.get(name):
            return
        if found is None:
            self._classes.pop(name, None)
        else:
            self._classes[name] = found
        self._again(self._documents)

    def _service_changed(self, service: Key) -> None:
        self._again(self._users.get(service, ()))

    def _again(self, keys: Iterable[Key]) -> None:
        for key in tuple(keys):
            self._update(key)

    def _update(self, key: Key) -> None:
        """Make the store hold what the Ingress says now, and nothing else of it."""
        before = self._ours.pop(key, None)
        self._use(key, before, add=False)
        document = self._documents.get(key)
        class_ = class_of(document, self._classes, self._own_name) if document else None
        now = None
        if document is not None and class_ is not None:
            now = self._ours[key] = OurIngress(read_ingress(document), class_)
            now.gateway = self._gateway_of(now)
            now.translated = translate_ingress(now.ingress, now.gateway, self._services.number)
            self._use(key, now, add=True)
        self._write(before.translated if before else Translated(), now)
        self.changed.notify()

    def _write(self, before: Translated, now: OurIngress | None) -> None:
        after = now.translated if now else Translated()
        wanted = [*after.routes, *([after.certificates] if after.certificates else ())]
        refs = {ref_of(each) for each in wanted}
        for old in (*before.routes, *([before.certificates] if before.certificates else ())):
            if ref_of(old) not in refs:
                self._store.remove(ref_of(old))
        for each in wanted:
            self._store.upsert(each)

    def _use(self, key: Key, ours: OurIngress | None, *, add: bool) -> None:
        """Note which Services an Ingress names, so that it is looked at again when one changes."""
        if ours is None:
            return
        paths = (*ours.ingress.paths, *([ours.ingress.default] if ours.ingress.default else ()))
        for backend in {each.backend.service for each in paths if each.backend}:
            users = self._users.setdefault((key[0], backend), set())
            (users.add if add else users.discard)(key)
            if not users:
                del self._users[key[0], backend]

    def _gateway_of(self, ours: OurIngress) -> ObjectRef | None:
        """By the class' parameters, else by the annotation, else the first in order."""
        if ours.class_.gateway is not None:
            return ours.class_.gateway
        named = ours.ingress.annotations.get(GATEWAY)
        if named:
            namespace, _, name = named.rpartition("/")
            return ObjectRef("GatewayConfig", namespace or "default", name)
        return self._first()

    def _first(self) -> ObjectRef | None:
        fleets = (ref for ref, each in self._gateways.items() if each.spec.mode == "Gateway")
        return min(fleets, default=None)


class _IngressIntake:
    def __init__(self, ingresses: Ingresses) -> None:
        self._ingresses = ingresses

    def put(self, document: Document) -> None:
        """An Ingress is there, new or changed."""
        self._ingresses.put_ingress(document)

    def drop(self, namespace: str, name: str) -> None:
        """An Ingress is gone."""
        self._ingresses.drop_ingress((namespace, name))


class _ClassIntake:
    def __init__(self, ingresses: Ingresses) -> None:
        self._ingresses = ingresses

    def put(self, document: Document) -> None:
        """An IngressClass is there, new or changed."""
        self._ingresses.put_class(document["metadata"]["name"], document)

    def drop(self, namespace: str, name: str) -> None:  # noqa: ARG002 - classes have no namespace
        """An IngressClass is gone."""
        self._ingresses.put_class(name, None)
