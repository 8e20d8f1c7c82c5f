"""The real Envoy in front of what documents say: read, translated, built, served.

No control plane runs: Envoy gets the snapshot as one static configuration.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import yaml

from fluxgate.api.parse import parse_object
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate.status import Condition, ConditionType
from fluxgate.translator import Translation, translate
from support.certificates import Pair
from support.gateway import GatewayEnvoy

API = "gateway.fluxgate.io/v1alpha1"
CLOSED = 503
"""What a route answers whose policies could not be set up."""

Document = dict[str, Any]


def obj(kind: str, name: str, spec: Document) -> Document:
    """An object of ours in the namespace ``default``."""
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def gateway(**spec: Any) -> Document:
    """A GatewayConfig ``main`` with one listener ``http``, unless ``listeners=`` says otherwise."""
    listener = {"name": "http", "port": 8080, "address": "127.0.0.1"}
    return obj("GatewayConfig", "main", {"listeners": [listener], **spec})


def route(
    name: str, port: int, *plugins: Document, path: str | None = None, **spec: Any
) -> Document:
    """A Route from ``/<name>`` to a local port, with these inline ``plugins``."""
    listed = [{"type": kind, "config": config} for each in plugins for kind, config in each.items()]
    return obj(
        "Route",
        name,
        {
            "matches": [{"path": {"value": path or f"/{name}"}}],
            "backends": [{"url": f"http://127.0.0.1:{port}"}],
            "plugins": listed,
            **spec,
        },
    )


def secret(name: str, data: Mapping[str, bytes | str]) -> Document:
    """A Secret with these keys."""
    raw = {key: value.encode() if isinstance(value, str) else value for key, value in data.items()}
    encoded = {key: base64.b64encode(value).decode() for key, value in raw.items()}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}


def tls_secret(name: str, pair: Pair) -> Document:
    """A Secret with a certificate and its key."""
    return secret(name, {"tls.crt": pair.certificate, "tls.key": pair.key})


def translated(*documents: Document) -> Translation:
    """What the translator makes of the documents."""
    store = ResourceStore()
    for each in documents:
        # as from a file: through YAML, which knows no tuples
        store.upsert(parse_object(yaml.safe_load(yaml.safe_dump(each))))
    return translate(store.freeze())


class Documents(GatewayEnvoy):
    """The real Envoy with what the documents say, and the conditions of the objects.

    ``envoy`` are options of :class:`~support.gateway.GatewayEnvoy`.
    """

    def __init__(self, *documents: Document, **envoy: Any) -> None:
        self.translation = translated(*documents)
        (served,) = self.translation.gateways.values()
        super().__init__(served, **envoy)

    def condition(self, kind: str, name: str, of: str = "Accepted") -> Condition:
        """One condition of an object in the namespace ``default``."""
        return condition(self.translation, kind, name, of)


def condition(translation: Translation, kind: str, name: str, of: str = "Accepted") -> Condition:
    """One condition of an object in the namespace ``default``."""
    found = translation.statuses[ObjectRef(kind, "default", name)].conditions
    return next(each for each in found if each.type is ConditionType(of))
