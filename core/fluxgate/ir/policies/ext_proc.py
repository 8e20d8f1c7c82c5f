"""A service that sees, changes or answers a route's requests and answers."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class ExtProc(RoutePolicy):
    """``cluster`` speaks envoy.service.ext_proc.v3.ExternalProcessor.

    Headers and trailers are sent or not; bodies as Envoy's ``BodySendMode`` says (``NONE``,
    ``BUFFERED``, ``BUFFERED_PARTIAL``, ``STREAMED``).
    """

    cluster: str
    timeout_ms: int = 200
    open_on_failure: bool = False
    request_headers: bool = True
    response_headers: bool = False
    request_body: str = "NONE"
    response_body: str = "NONE"
    request_trailers: bool = False
    response_trailers: bool = False
