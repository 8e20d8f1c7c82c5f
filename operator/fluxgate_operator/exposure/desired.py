"""What a GatewayConfig's exposure amounts to: documents to be applied. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.ir import Gateway
from fluxgate_operator.exposure.hosts import Way, served
from fluxgate_operator.exposure.ingress import ingresses
from fluxgate_operator.exposure.marks import marked
from fluxgate_operator.exposure.openshift import routes
from fluxgate_operator.exposure.service import inner_service, outer_service
from fluxgate_operator.ingress.classes import CONTROLLER
from fluxgate_operator.kube.client import Document


@dataclass(frozen=True, slots=True)
class Desired:
    """The documents, in the order in which they are applied, and what could not be exposed."""

    documents: tuple[Document, ...] = ()
    problems: tuple[str, ...] = ()


def desired(
    config: GatewayConfig,
    gateway: Gateway,
    controller: str = "",
    own_class: str = "",
) -> Desired:
    """Everything that exposes ``config`` and what ``gateway`` serves.

    ``controller`` is the ``spec.controller`` of the chosen IngressClass, empty while unknown;
    ``own_class`` is the class whose Ingresses are an input of ours.
    """
    exposure = config.spec.exposure
    if exposure.kind == "None":
        return Desired()
    if exposure.kind in ("LoadBalancer", "NodePort"):
        return Desired((marked(config, outer_service(config)),))
    problems = _mistakes(config, controller, own_class)
    if problems:
        return Desired(problems=problems)
    ways, unnamed = served(config, gateway)
    reachable, others = _reachable(ways)
    if exposure.kind == "Ingress":
        made = ingresses(config, reachable, controller)
    else:
        made = routes(config, reachable)
    own = () if exposure.service_name else (inner_service(config),)
    documents = tuple(marked(config, each) for each in (*own, *made))
    told = tuple(f"spec.exposure: {each}" for each in (*unnamed, *others))
    return Desired(documents, told)


def _mistakes(config: GatewayConfig, controller: str, own_class: str) -> tuple[str, ...]:
    """What makes the whole exposure impossible."""
    exposure = config.spec.exposure
    name = exposure.class_name
    found = []
    if exposure.kind == "Ingress" and name and (controller == CONTROLLER or name == own_class):
        found.append(
            f"spec.exposure.className: {name} is the class of the gateway itself; name the "
            "class of the controller in front of it"
        )
    secret = exposure.tls_secret_ref
    if secret is not None and secret.namespace not in (None, config.metadata.namespace):
        found.append(
            "spec.exposure.tlsSecretRef: the Secret must live in the namespace "
            f"{config.metadata.namespace!r}; remove the namespace"
        )
    return tuple(found)


def _reachable(ways: Iterable[Way]) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """The hosts that some listener takes; a TLS listener may not know a host's name (SNI)."""
    good, problems = [], []
    for way in ways:
        if way.plain is None and way.secure is None:
            problems.append(
                f"the host {way.host} is served by no HTTP listener, and spec.listeners[].hostnames "
                "of the HTTPS listeners does not hold it"
            )
        else:
            good.append(way)
    return tuple(good), tuple(problems)
