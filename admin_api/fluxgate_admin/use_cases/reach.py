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
_OUTPUTS = frozenset(("/dev/stdout", "/dev/stderr"))


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
            yield from ((place, message) for place in _further(wanted, before))


def takes_write_scope(ref: ObjectRef, wanted: Resource | None, before: Resource | None) -> bool:
    """Whether even trying a change takes the scope for making it: the trial would run code that it brings.

    A Tenant decides whose code is admitted. ``wanted`` is None for a deletion.
    """
    match wanted:
        case GatewayConfig():
            return any(_further(wanted, before))
        case Plugin(spec=spec):
            return spec.type in CODE
        case Route(spec=spec):
            return any(use.type in CODE for use in spec.plugins)
    return ref.kind == "Tenant"


def _further(wanted: GatewayConfig, before: Resource | None) -> Iterator[str]:
    """Where a GatewayConfig reaches further than before: into code, and into files and sockets of the server."""
    was = before if isinstance(before, GatewayConfig) else None
    extensions = wanted.spec.extensions
    if extensions.allow and (was is None or was.spec.extensions != extensions):
        yield "/spec/extensions"
    known = dict(_files(was)) if was is not None else {}
    for place, named in _files(wanted):
        if not named <= known.get(place, frozenset()):
            yield place


def _files(config: GatewayConfig) -> Iterator[tuple[str, frozenset[object]]]:
    """What of the server's files a GatewayConfig names, by place; its output is nobody's file."""
    spec = config.spec
    yield "/spec/listeners", frozenset(files_of(config))
    yield "/spec/upstreamSockets", frozenset(spec.upstream_sockets)
    yield "/spec/logging/accessLog/path", frozenset((spec.logging.access_log.path,)) - _OUTPUTS
