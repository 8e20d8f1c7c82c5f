"""The examples of the catalogue of plugins, each with what it refers to."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import yaml
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1.extensions import ExtensionType
from fluxgate.resources import Endpoint, Object, ObjectRef, ResourceStore, ServiceEndpoints
from fluxgate.translator import Translation, translate
from fluxgate.translator.config_refs import references_in
from fluxgate.translator.plugins import PolicyType
from fluxgate.translator.policies import read_config
from support import documents
from support.certificates import Authority
from support.documents import Document
from support.wasm_modules import stamping
from tools.generate_plugin_docs import COMPANIONS, EXAMPLE_PATHS


def _descriptors() -> bytes:
    files = FileDescriptorSet()
    file = files.file.add(name="library.proto", package="example.v1", syntax="proto3")
    file.message_type.add(name="Book").field.add(name="title", number=1, label=1, type=9)
    service = file.service.add(name="Library")
    service.method.add(name="Get", input_type=".example.v1.Book", output_type=".example.v1.Book")
    return files.SerializeToString()


def _sha1(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()


@cache
def _secrets() -> Mapping[str, Mapping[str, bytes | str]]:
    """What stands in the Secrets that examples name."""
    return {
        "site-users": {".htpasswd": f"alice:{_sha1('secret')}\n"},
        "site-login": {"client-secret": "s" * 40},
        "maintenance": {"value": "m" * 40},
        "library-descriptors": {"descriptors.pb": _descriptors()},
        "stamp-module": {"module.wasm": stamping()},
    }


@cache
def _gateway() -> tuple[Document, ...]:
    """A gateway with all that a policy may ask of one."""
    authority = Authority()
    tls: dict[str, Any] = {
        "certificateRefs": [{"name": "server"}],
        "clientValidation": {"caCertificateRef": {"name": "clients"}, "optional": True},
    }
    listeners = [
        {"name": "http", "port": 8080, "address": "127.0.0.1"},
        {"name": "https", "port": 8443, "address": "127.0.0.1", "protocol": "HTTPS", "tls": tls},
    ]
    return (
        documents.gateway(
            listeners=listeners,
            plans=[{"name": "basic", "requests": 60}],
            rateLimitService={"url": "http://127.0.0.1:8081"},
            extensions={"allow": list(get_args(ExtensionType))},
        ),
        documents.tls_secret("server", authority.issue("example.com")),
        documents.secret("clients", {"ca.crt": authority.pem}),
    )


def _referred(ref: ObjectRef) -> Object:
    if ref.kind == "Service":
        endpoint = Endpoint("127.0.0.1", 9)
        return ServiceEndpoints(ref.namespace, ref.name, dict.fromkeys(_PORTS, (endpoint,)))
    if ref.kind == "Secret":
        return parse_object(documents.secret(ref.name, _secrets()[ref.name]))
    return parse_object(documents.obj(ref.kind, ref.name, {"url": "http://127.0.0.1:9"}))


_PORTS = (80, 443, 8080, 8181, 9000, 9001, 9191, 50051)


def config_of(policy: PolicyType) -> Document:
    """The example's config."""
    return dict(yaml.safe_load(policy.example or "{}") or {})


def translated(*policies: PolicyType, plugins: bool = False) -> Translation:
    """A gateway with a route for each example, in the route or (``plugins``) in a Plugin of its own."""
    store = ResourceStore()
    for document in _gateway():
        store.upsert(parse_object(document))
    for policy in policies:
        config = config_of(policy)
        model, problem, _ = read_config(policy.name, config)
        assert model is not None, f"{policy.name}: {problem}"
        for _, ref in references_in(model, "default"):
            store.upsert(_referred(ref))
        companions = [{each["type"]: each["config"]} for each in COMPANIONS.get(policy.name, ())]
        inline = companions if plugins else [*companions, {policy.name: config}]
        path = EXAMPLE_PATHS.get(policy.name, f"/{policy.name}")
        store.upsert(parse_object(documents.route(policy.name, 9, *inline, path=path)))
        if plugins:
            target = {"kind": "Route", "name": policy.name}
            spec = {"type": policy.name, "config": config, "targets": [target]}
            store.upsert(parse_object(documents.obj("Plugin", policy.name, spec)))
    return translate(store.freeze())
