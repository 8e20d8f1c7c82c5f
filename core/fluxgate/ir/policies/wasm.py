"""A WebAssembly module that runs on a route's requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class Wasm(RoutePolicy):
    """``code`` is the module itself, or a path where Envoy runs.

    ``on_failure`` is ``CLOSED``, ``OPEN`` or ``RELOAD``.
    """

    name: str
    code: bytes | str
    root_id: str = ""
    configuration: str = ""
    on_failure: str = "CLOSED"
