"""Fields that this version takes and does nothing with, and how their object says so.

One table. A test holds it to the models: every field is read by the translation or stands here,
so that no one can believe a setting in force that is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from fluxgate.api.v1alpha1 import Model, Resource
from fluxgate.translator.findings import Finding, partly


@dataclass(frozen=True, slots=True)
class Unused:
    """A field by its JSON path (``[]`` for every item of a list).

    ``standalone``: it has an effect where the process exposes gateways, on Kubernetes.
    """

    path: str
    standalone: bool = False


NO_EFFECT: Mapping[str, tuple[Unused, ...]] = MappingProxyType(
    {
        "GatewayConfig": (
            Unused("spec.logging.level"),
            Unused("spec.exposure", standalone=True),
        ),
        "Route": (Unused("spec.workspace"),),
        "Backend": (Unused("spec.weight"),),
        "Tenant": (Unused("spec.environment"),),
    }
)

SAID_ELSEWHERE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        # a route with async is refused as a whole
        "Route": ("spec.async.maxAttempts", "spec.async.timeout", "spec.description"),
        # tls is there exactly when the protocol is HTTPS
        # the xDS server reads allowedServiceAccounts, when a node connects with a token
        "GatewayConfig": ("spec.listeners[].protocol", "spec.allowedServiceAccounts"),
        "Backend": ("spec.description",),
        "Upstream": ("spec.description",),
        "Plugin": ("spec.description",),
        # for people, and for the tools that rotate keys
        "ApiKey": ("spec.lastFour", "spec.displayName", "spec.rotateAfter"),
        "Tenant": ("spec.displayName",),
    }
)
"""Fields that need no effect: they inform people, or another field says the same."""


def without_effect(obj: Resource, *, exposes: bool = False) -> tuple[Finding, ...]:
    """What to say about the fields of ``obj`` that are set, not to their default, and unused.

    ``exposes``: the process makes what ``spec.exposure`` asks for.
    """
    table = NO_EFFECT.get(obj.kind)
    if table is None:
        return ()
    table = tuple([each for each in table if not (exposes and each.standalone)])
    paths = [path for each in table for path in _set(obj, each.path.split("."), "")]
    return (partly(f"{', '.join(paths)}: has no effect in this version"),) if paths else ()


def _set(model: Model, names: list[str], prefix: str) -> Iterator[str]:
    """The paths that ``names`` leads to, where a value other than the default was given."""
    name, *rest = names
    alias = name.removesuffix("[]")
    field = _field(type(model), alias)
    if field not in model.model_fields_set:
        return
    # past attribute access, which a test watches to see what the translation reads
    value, path = vars(model)[field], f"{prefix}{alias}"
    if not rest:
        if value != type(model).model_fields[field].get_default(call_default_factory=True):
            yield path
    elif name.endswith("[]"):
        for index, each in enumerate(value):
            yield from _set(each, rest, f"{path}[{index}].")
    elif value is not None:
        yield from _set(value, rest, f"{path}.")


@cache
def _field(model: type[Model], alias: str) -> str:
    """The Python name of a field."""
    return next(name for name, info in model.model_fields.items() if info.alias == alias)
