"""A fleet to be exposed: its GatewayConfig in a real API server, and who exposes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from support.cluster import ControlPlane
from support.fault_proxy import FaultProxy

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.status import Condition
from fluxgate_operator.exposure import Exposures, ExposureSettings
from fluxgate_operator.exposure.state import condition_of
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import NotFoundError
from fluxgate_operator.kube.types import INGRESSES, OUR_TYPES, SERVICES, KubeType
from fluxgate_operator.pipeline import CachedPipeline
from fluxgate_operator.reconciler import Reconciler
from fluxgate_xds.cache import SnapshotCache

GATEWAYS = next(each for each in OUR_TYPES if each.kind == "GatewayConfig")
API = "gateway.fluxgate.io/v1alpha1"
QUICK = ExposureSettings(delay=0.0, interval=600.0, retry=0.0, admission=600.0)
ALL = ("get", "list", "create", "patch", "delete")
RIGHTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "services"): ALL,
    ("networking.k8s.io", "ingresses"): ALL,
    ("route.openshift.io", "routes"): ALL,
    ("gateway.fluxgate.io", "gatewayconfigs"): ("get",),
}


class Fleet:
    """One namespace whose GatewayConfigs are exposed by one ServiceAccount."""

    def __init__(
        self, plane: ControlPlane, namespace: str, admin: KubeClient, client: KubeClient
    ) -> None:
        self.plane = plane
        self.namespace = namespace
        self.admin = admin
        self._client = client
        self.account = f"system:serviceaccount:{namespace}:exposer"
        self.store = ResourceStore()
        self.exposures: Exposures
        self.reconciler: Reconciler
        self.settings = QUICK
        self.leading = True

    def may(self, rights: Mapping[tuple[str, str], tuple[str, ...]]) -> None:
        """The exposer's rights in the namespace, from now on."""
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}"
        rules = [
            {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
            for (group, resource), verbs in rights.items()
        ]
        self.plane.request(
            "POST", f"{path}/roles", {"metadata": {"name": "exposer"}, "rules": rules}
        )
        self.plane.request(
            "POST",
            f"{path}/rolebindings",
            {
                "metadata": {"name": "exposer"},
                "roleRef": {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Role",
                    "name": "exposer",
                },
                "subjects": [
                    {"kind": "ServiceAccount", "name": "exposer", "namespace": self.namespace}
                ],
            },
        )
        for (group, resource), verbs in rights.items():
            for verb in verbs:
                self.plane.wait_for_right(self.namespace, "exposer", verb, resource, group)

    def start(self) -> None:
        """Make the parts anew, as a new leader has them."""
        log = structlog.get_logger()
        cache = SnapshotCache()
        self.reconciler = Reconciler(
            self.store, CachedPipeline(exposes=True), cache, self._nothing, log
        )
        self.exposures = Exposures(
            self._client,
            self.reconciler,
            lambda: self.leading,
            log,
            namespaces=(self.namespace,),
            own_class="fluxgate",
            settings=self.settings,
        )

    async def _nothing(self) -> None:
        return None

    async def gateway(self, exposure: Mapping[str, Any], name: str = "main") -> ObjectRef:
        """Create or change a GatewayConfig."""
        body = {
            "apiVersion": API,
            "kind": "GatewayConfig",
            "metadata": {"name": name},
            "spec": {"listeners": [{"name": "http", "port": 8080}], "exposure": dict(exposure)},
        }
        made = await self.admin.apply(GATEWAYS, self.namespace, body, manager="user", force=True)
        made["metadata"].pop("managedFields", None)
        made.pop("status", None)
        self.store.upsert(parse_object(made))
        return ObjectRef("GatewayConfig", self.namespace, name)

    def route(self, name: str, *hosts: str) -> None:
        """A route that the fleet serves; it needs no object in the API server."""
        meta = {"name": name, "namespace": self.namespace}
        self.store.upsert(
            parse_object(
                {
                    "apiVersion": API,
                    "kind": "Backend",
                    "metadata": {"name": "b", "namespace": self.namespace},
                    "spec": {"url": "http://127.0.0.1:9"},
                }
            )
        )
        spec = {
            "hosts": list(hosts),
            "matches": [{"path": {"value": "/"}}],
            "backends": [{"kind": "Backend", "name": "b"}],
        }
        self.store.upsert(
            parse_object({"apiVersion": API, "kind": "Route", "metadata": meta, "spec": spec})
        )

    async def look(self) -> None:
        """A turn of the reconciler, and a look of the exposer."""
        self.reconciler.reconcile()
        await self.exposures.look()

    def condition(self, ref: ObjectRef) -> Condition | None:
        """What is said of a GatewayConfig."""
        return condition_of(self.exposures.states()[ref])

    async def there(self, type_: KubeType, name: str) -> Document | None:
        """An object, if it is there."""
        try:
            return await self.admin.get(type_, self.namespace, name)
        except NotFoundError:
            return None

    async def names(self, type_: KubeType) -> set[str]:
        """The names of the objects of a kind."""
        listing = await self.admin.list(type_, self.namespace)
        return {each["metadata"]["name"] for each in listing.items}

    async def shown(self, type_: KubeType, name: str) -> None:
        """The watch shows an object to the exposer."""
        found = await self.there(type_, name)
        intake = self.exposures.intakes()[type_]
        if found is None:
            intake.drop(self.namespace, name)
        else:
            intake.put(found)

    def asked(self) -> list[tuple[str, str, str, int]]:
        """The exposer's requests so far: verb, resource, name, code."""
        found = []
        for each in self.plane.audit_events(self.account):
            ref = each.get("objectRef") or {}
            code = each.get("responseStatus", {}).get("code", 0)
            found.append((each["verb"], ref.get("resource", ""), ref.get("name", ""), code))
        return found

    def written(self) -> list[tuple[str, str, str]]:
        """The exposer's writes so far, in order."""
        return [each[:3] for each in self.asked() if each[0] not in ("get", "list")]

    async def has_address(self, type_: KubeType, name: str, ip: str = "192.0.2.1") -> None:
        """What a cloud, or an ingress controller, says of an object."""
        patch = {"status": {"loadBalancer": {"ingress": [{"ip": ip}]}}}
        await self.admin.merge_patch(type_, self.namespace, name, patch, subresource="status")
        await self.shown(type_, name)


@asynccontextmanager
async def fleet_in(
    plane: ControlPlane,
    namespace: str,
    rights: Mapping[tuple[str, str], tuple[str, ...]] = RIGHTS,
    proxy: FaultProxy | None = None,
) -> AsyncIterator[Fleet]:
    """A fleet's namespace, and an exposer with these rights, who may ask through a proxy."""
    admin_access = await load_access(plane.kubeconfig, None, {})
    plane.new_service_account(namespace, "exposer")
    kubeconfig = plane.kubeconfig_for(namespace, "exposer")
    if proxy is not None:
        token = {"token": plane.token_for(namespace, "exposer")}
        kubeconfig = proxy.kubeconfig_at(kubeconfig.with_suffix(".proxy"), token)
    access = await load_access(kubeconfig, None, {})
    async with KubeClient(admin_access) as admin, KubeClient(access) as client:
        fleet = Fleet(plane, namespace, admin, client)
        fleet.may(rights)
        fleet.start()
        yield fleet
        for type_ in (SERVICES, INGRESSES):
            for name in await fleet.names(type_):
                await admin.delete(type_, namespace, name)


@pytest.fixture
async def fleet(control_plane: ControlPlane, namespace: str) -> AsyncIterator[Fleet]:
    """A fleet whose exposer may do all that it has to."""
    async with fleet_in(control_plane, namespace) as found:
        yield found
