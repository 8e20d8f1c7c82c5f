"""Small worlds, written as documents."""

from __future__ import annotations

from fluxgate.api.parse import parse_object
from fluxgate.ir import Gateway, HTTPRoute
from fluxgate.resources import Object, ObjectRef, Resources, ResourceStore
from fluxgate.status import Condition, ConditionType
from fluxgate.translator import TranslateOptions, Translation, translate

LISTENER = {"name": "http", "port": 8080}
PLAN = {"name": "demo", "requests": 60, "burst": 5}


def obj(kind: str, name: str, spec: dict | None = None, **metadata: object) -> Object:
    return parse_object(
        {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, **metadata},
            "spec": spec or {},
        }
    )


def edge(**spec: object) -> Object:
    return obj("GatewayConfig", "edge", {"listeners": [LISTENER], "plans": [PLAN], **spec})


def route(
    name: str = "r", *, created: str = "", namespace: str = "default", **spec: object
) -> Object:
    spec.setdefault("backends", [{"url": "http://127.0.0.1:9000"}])
    return obj("Route", name, spec, namespace=namespace, creationTimestamp=created)


def path(value: str, kind: str = "Prefix", **match: object) -> dict:
    return {"path": {"type": kind, "value": value}, **match}


def key(name: str = "k", digit: str = "a", **spec: object) -> Object:
    base = {"hash": digit * 64, "prefix": "flc_service_", "lastFour": "abcd"}
    return obj("ApiKey", name, base | spec)


def bundle(*objects: Object) -> Resources:
    store = ResourceStore()
    for each in objects:
        store.upsert(each)
    return store.freeze()


class World:
    """A translation, with short ways to its parts."""

    def __init__(self, *objects: Object, options: TranslateOptions | None = None) -> None:
        self.result: Translation = translate(bundle(*objects), options)

    @property
    def gateway(self) -> Gateway:
        return self.result.gateways["edge"]

    def routes(self, host: str = "*", listener: str = "http") -> tuple[HTTPRoute, ...]:
        tables = {table.name: table for table in self.gateway.route_tables}
        (name,) = {each.route_table for each in self.gateway.listeners if each.name == listener}
        hosts = {each.host: each.routes for each in tables[name].virtual_hosts}
        return hosts.get(host, ())

    @property
    def route(self) -> HTTPRoute:
        (only,) = self.routes()
        return only

    def condition(
        self, kind: str, name: str, condition: str, namespace: str = "default"
    ) -> Condition:
        status = self.result.statuses[ObjectRef(kind, namespace, name)]
        return next(each for each in status.conditions if each.type is ConditionType(condition))

    def verdict(
        self, kind: str, name: str, condition: str = "Accepted", namespace: str = "default"
    ) -> tuple[bool, str]:
        found = self.condition(kind, name, condition, namespace)
        return found.status, str(found.reason)

    def message(self, kind: str, name: str, condition: str = "Accepted") -> str:
        return self.condition(kind, name, condition).message
