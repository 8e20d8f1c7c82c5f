"""What a change does beyond its own object: claim a namespace, admit code, name files of the server. Pure.

A scope says which kinds a caller may write, its namespaces say where. That is not enough for a Tenant that
claims another namespace, and for a GatewayConfig that lets code into processes which serve everybody: Envoy's,
and that of every dry run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from fluxgate.api.v1alpha1 import GatewayConfig, Plugin, Resource, Route, Tenant
from fluxgate.api.v1alpha1.extensions import ExtensionType
from fluxgate.resources import ObjectRef
from fluxgate.translator.certificate_files import files_of
from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.principal import Principal

CODE = frozenset(get_args(ExtensionType))
"""Types of policy whose configuration is code, or Envoy's own."""


def check_reach(principal: Principal, wanted: Resource, before: Resource | None) -> None:
    """Raises ``UnprocessableError`` for what only who sees those namespaces may say.

    What an object says already it may go on saying, whoever changes the rest of it.
    """
    if principal.namespaces is None:
        return
    problems = [
        {"pointer": pointer, "message": message, "reason": "Invalid", "source": "schema"}
        for pointer, message in _beyond(principal, wanted, before)
    ]
    if problems:
        first = problems[0]
        raise UnprocessableError(f"{first['pointer']}: {first['message']}", problems)


def _beyond(
    principal: Principal, wanted: Resource, before: Resource | None
) -> Iterator[tuple[str, str]]:
    match wanted:
        case Tenant(spec=spec):
            was = before.spec.namespace if isinstance(before, Tenant) else None
            if spec.namespace not in (None, was) and not principal.sees(str(spec.namespace)):
                message = "a credential bound to namespaces claims its own alone"
                yield "/spec/namespace", message
        case GatewayConfig():
            message = (
                "it takes a credential for all namespaces: this is about processes of everybody"
            )
            if _admits_more(wanted, before):
                yield "/spec/extensions", message
            if _names_more_files(wanted, before):
                yield "/spec/listeners", f"files of the server: {message}"


def takes_write_scope(ref: ObjectRef, wanted: Resource | None, before: Resource | None) -> bool:
    """Whether even trying a change takes the scope for making it: the trial would run code that it brings.

    A Tenant decides whose code is admitted. ``wanted`` is None for a deletion.
    """
    match wanted:
        case GatewayConfig():
            return _admits_more(wanted, before) or _names_more_files(wanted, before)
        case Plugin(spec=spec):
            return spec.type in CODE
        case Route(spec=spec):
            return any(use.type in CODE for use in spec.plugins)
    return ref.kind == "Tenant"


def _admits_more(wanted: GatewayConfig, before: Resource | None) -> bool:
    now = wanted.spec.extensions
    was = before.spec.extensions if isinstance(before, GatewayConfig) else None
    return bool(now.allow) and now != was


def _names_more_files(wanted: GatewayConfig, before: Resource | None) -> bool:
    known = set(files_of(before)) if isinstance(before, GatewayConfig) else set()
    return not set(files_of(wanted)) <= known
