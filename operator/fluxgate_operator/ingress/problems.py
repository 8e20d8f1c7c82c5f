"""What is wrong with an Ingress, in the words of whoever wrote it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.resources import ObjectRef, Resources, Secret
from fluxgate.status import Condition, ConditionType, ObjectStatus, Reason
from fluxgate.translator.certificates import resolve_certificate
from fluxgate_operator.ingress.ingresses import OurIngress
from fluxgate_operator.ingress.read import Ingress
from fluxgate_operator.ingress.translate import KIND, Translated

_FINE = (Reason.ACCEPTED, Reason.RESOLVED_REFS, Reason.PROGRAMMED)


def problems_of(
    ours: OurIngress, resources: Resources, statuses: Mapping[ObjectRef, ObjectStatus]
) -> tuple[str, ...]:
    """Everything of an Ingress that is not served as it is written, each with its place."""
    ingress, translated, class_ = ours.ingress, ours.translated, ours.class_
    gateway = ours.gateway
    found = [f"IngressClass {class_.name}: {class_.problem}"] if class_.problem else []
    found += [str(each) for each in translated.problems]
    found += _gateway(gateway, resources)
    found += _of_routes(translated, ingress, statuses)
    found += _tls(ingress, gateway, resources)
    return tuple(dict.fromkeys(found))


def _gateway(gateway: ObjectRef | None, resources: Resources) -> Iterator[str]:
    if gateway is None:
        yield "there is no GatewayConfig to serve it; create one"
    elif gateway not in resources.gateway_configs:
        yield f"{gateway} does not exist; create it, or name another"


def _of_routes(
    translated: Translated, ingress: Ingress, statuses: Mapping[ObjectRef, ObjectStatus]
) -> Iterator[str]:
    told = {each.where for each in translated.problems}
    for name, where in translated.places.items():
        status = statuses.get(ObjectRef("Route", ingress.namespace, name))
        if status is None or where in told:
            continue
        for condition in status.conditions:
            if _says_something(condition):
                yield _in_its_words(condition.message, where, ingress)


def _says_something(condition: Condition) -> bool:
    if condition.reason in (Reason.NO_GATEWAY, Reason.PENDING):
        return False
    if condition.type is ConditionType.PROGRAMMED and condition.reason is not Reason.ENVOY_REJECTED:
        return False
    return bool(condition.message) and not (condition.status and condition.reason in _FINE)


def _in_its_words(message: str, where: str, ingress: Ingress) -> str:
    """A Route's places as those of the Ingress."""
    itself = ObjectRef(KIND, ingress.namespace, ingress.name)
    fields = {
        f"by {itself}, which comes first by name; change the match or the priority": "by an earlier path of "
        "this Ingress; remove one",
        "change the match or the priority": "change the host or the path",
        "spec.backends[0]": f"{where}.backend.service",
        "spec.matches[0]": where,
        "spec.hosts": f"{where.removesuffix('.http').partition('.http')[0]}.host",
        "spec.gateways": where,
    }
    for ours, theirs in fields.items():
        message = message.replace(ours, theirs)
    return message if message.startswith("spec.") else f"{where}: {message}"


def _tls(ingress: Ingress, gateway: ObjectRef | None, resources: Resources) -> Iterator[str]:
    config = resources.gateway_configs.get(gateway) if gateway else None
    named = [each for each in ingress.tls if each.secret]
    if named and config is not None and not _terminates_tls(config):
        yield f"spec.tls: {gateway} has no HTTPS listener, so TLS is not served; add one"

    def lookup(ref: ObjectRef) -> Secret | None:
        return resources.secrets.get(ref)

    for each in named:
        field = f"{each.where}.secretName"
        found = resolve_certificate(field, SecretRef(name=each.secret), ingress.namespace, lookup)
        if not isinstance(found, str):
            yield f"{found.message}; until then its hosts get the listener's own certificate"


def _terminates_tls(config: GatewayConfig) -> bool:
    return any(each.tls is not None for each in config.spec.listeners)
