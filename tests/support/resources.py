"""From YAML text to the IR, as the control plane does it."""

from __future__ import annotations

import yaml

from fluxgate.api.parse import parse_object
from fluxgate.ir import Gateway
from fluxgate.resources import ResourceStore
from fluxgate.translator import Translation, translate

GATEWAY = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {name: main}
spec:
  listeners:
    - {name: http, address: 127.0.0.1, port: 8080}
  plans:
    - {name: demo, requests: 60, burst: 5}
"""


def upstream(name: str, port: int, **spec: object) -> str:
    """An Upstream with one target on 127.0.0.1."""
    return document("Upstream", name, {"targets": [{"host": "127.0.0.1", "port": port}], **spec})


def document(kind: str, name: str, spec: dict[str, object]) -> str:
    """A resource as YAML."""
    return yaml.safe_dump(
        {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def translation(*documents: str) -> Translation:
    """What these YAML documents translate to."""
    store = ResourceStore()
    for each in documents:
        for parsed in yaml.safe_load_all(each):
            store.upsert(parse_object(parsed))
    return translate(store.freeze())


def gateway_of(*documents: str) -> Gateway:
    """The gateway ``main`` of these YAML documents and :data:`GATEWAY`."""
    return translation(GATEWAY, *documents).gateways["main"]
