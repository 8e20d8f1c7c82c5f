"""A WebAssembly module that runs on a route's requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class RemoteModule:
    """A module that Envoy fetches from ``uri`` through ``cluster``, and checks against ``sha256``."""

    cluster: str
    uri: str
    sha256: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Wasm(RoutePolicy):
    """``code`` is the module itself, a path where Envoy runs, or where to fetch it.

    ``on_failure`` is ``CLOSED``, ``OPEN`` or ``RELOAD``.
    """

    name: str
    code: bytes | str | RemoteModule
    root_id: str = ""
    configuration: str = ""
    on_failure: str = "CLOSED"
