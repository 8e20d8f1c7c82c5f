"""What goes into a translation besides the resources, and what comes out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fluxgate.api.v1alpha1 import Resource
from fluxgate.ir import Gateway
from fluxgate.resources import Object, ObjectRef, Secret, ServerCertificates
from fluxgate.status import ObjectStatus


@dataclass(frozen=True, slots=True)
class SetAside:
    """An object that Envoy rejected: the digest of its content then, and Envoy's words."""

    digest: str
    message: str


@dataclass(frozen=True, slots=True)
class TranslateOptions:
    """``set_aside`` objects are left out for as long as :func:`spec_digest` still agrees.

    ``exposes`` says that the process makes what ``spec.exposure`` asks for; where none does
    (outside Kubernetes), a GatewayConfig that asks is told so.
    """

    set_aside: Mapping[ObjectRef, SetAside] = field(default_factory=lambda: MappingProxyType({}))
    exposes: bool = False


@dataclass(frozen=True, slots=True)
class Translation:
    """The gateways by :func:`gateway_key`, and the status of every object of our kinds."""

    gateways: Mapping[str, Gateway]
    statuses: Mapping[ObjectRef, ObjectStatus]


def gateway_key(ref: ObjectRef) -> str:
    """The name nodes know a GatewayConfig by: bare in the namespace ``default``, else ``ns/name``."""
    return ref.name if ref.namespace == "default" else f"{ref.namespace}/{ref.name}"


def spec_digest(obj: Object) -> str:
    """SHA-256 of what an object says: its spec, a Secret's data, a Service's endpoints."""
    if isinstance(obj, Resource):
        spec = obj.model_dump(mode="json", by_alias=True, include={"spec"})
        payload = json.dumps(spec, sort_keys=True).encode()
    elif isinstance(obj, Secret):
        parts = (f"{name}={value.reveal().hex()}" for name, value in sorted(obj.data.items()))
        payload = "\n".join((obj.type, *parts)).encode()
    elif isinstance(obj, ServerCertificates):
        payload = repr(obj).encode()
    else:
        payload = repr(sorted(obj.ports.items())).encode()
    return hashlib.sha256(payload).hexdigest()
