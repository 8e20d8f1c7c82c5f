"""Which Ingresses are ours: IngressClass, the older annotation, and the default class.

A class is ours by its ``spec.controller``, whatever its name
(networking.k8s.io/v1 IngressClassSpec). What belongs to another controller is not looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.client import Document
from fluxgate_operator.kube.types import GROUP

CONTROLLER = f"{GROUP}/ingress-controller"
"""``spec.controller`` of the IngressClasses that are ours."""

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
LEGACY_CLASS = "kubernetes.io/ingress.class"
"""Deprecated since Kubernetes 1.18 and still common; it names a class without an object too."""

GATEWAY = f"{GROUP}/gateway"
"""Annotation of an Ingress: ``namespace/name`` of the GatewayConfig that serves it, or the bare
name of one in the namespace ``default``. An IngressClass with parameters decides instead."""


@dataclass(frozen=True, slots=True)
class IngressClass:
    """An IngressClass with our controller. ``problem`` says what is wrong with its parameters."""

    name: str
    default: bool = False
    gateway: ObjectRef | None = None
    problem: str = ""


def read_class(document: Document) -> IngressClass | None:
    """An IngressClass of ours; None when it names another controller."""
    spec, meta = document.get("spec") or {}, document["metadata"]
    if spec.get("controller") != CONTROLLER:
        return None
    default = (meta.get("annotations") or {}).get(DEFAULT_CLASS) == "true"
    parameters = spec.get("parameters")
    if not parameters:
        return IngressClass(meta["name"], default)
    if parameters.get("apiGroup") != GROUP or parameters.get("kind") != "GatewayConfig":
        problem = f"spec.parameters must name a GatewayConfig of the group {GROUP}"
        return IngressClass(meta["name"], default, problem=problem)
    if not parameters.get("namespace"):
        problem = "spec.parameters needs scope: Namespace, and the namespace of the GatewayConfig"
        return IngressClass(meta["name"], default, problem=problem)
    gateway = ObjectRef("GatewayConfig", parameters["namespace"], parameters["name"])
    return IngressClass(meta["name"], default, gateway)


def class_of(
    ingress: Document, classes: Mapping[str, IngressClass], own_name: str
) -> IngressClass | None:
    """The class through which an Ingress is ours; None when it is not.

    ``spec.ingressClassName`` needs an IngressClass of ours. The annotation also takes
    ``own_name`` when there is no such object, as it did before there were any. With neither, the
    Ingress is ours when one of our classes is the default one.
    """
    named = (ingress.get("spec") or {}).get("ingressClassName")
    if named:
        return classes.get(named)
    legacy = (ingress["metadata"].get("annotations") or {}).get(LEGACY_CLASS)
    if legacy:
        bare = IngressClass(own_name) if own_name and legacy == own_name else None
        return classes.get(legacy, bare)
    return next((each for _, each in sorted(classes.items()) if each.default), None)
