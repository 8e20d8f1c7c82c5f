"""``ext-proc``: a service that sees, changes or answers requests and answers.

The service may change what it likes of a message but for the method, the host and the identity of the
caller, and cannot choose another route.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import Duration
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir.policies.ext_proc import ExtProc
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

Body = Literal["None", "Buffered", "BufferedPartial", "Streamed"]
_MODES = {
    "None": "NONE",
    "Buffered": "BUFFERED",
    "BufferedPartial": "BUFFERED_PARTIAL",
    "Streamed": "STREAMED",
}


class ProcessedMessage(Model):
    """What of a request or of an answer the service gets."""

    headers: bool = Field(description="Whether it gets the headers.")
    body: Body = Field(
        default="None",
        description="Buffered: in one piece, refused (413) when larger than Envoy's buffer. "
        "BufferedPartial: as much as fits the buffer. Streamed: piece by piece as it passes.",
    )
    trailers: bool = Field(default=False, description="Whether it gets the trailers.")


class ExtProcConfig(Model):
    """The config of ``ext-proc``."""

    backend: BackendRef = Field(
        description="The service, which speaks envoy.service.ext_proc.v3.ExternalProcessor over gRPC."
    )
    timeout: Duration = Field(default="200ms", description="For each answer of the service.")
    failure_mode: Literal["Closed", "Open"] = Field(
        default="Closed",
        description="Closed: an error ends the request with 503, no answer in time with 504. "
        "Open: the message goes on as it is.",
    )
    request: ProcessedMessage = ProcessedMessage(headers=True)
    response: ProcessedMessage = ProcessedMessage(headers=False)


def _apply(policies: Policies, config: ExtProcConfig, context: Context) -> Policies:
    timeout = duration_ms(config.timeout)
    if timeout < 1:
        raise PolicyError("config.timeout", "is too short; give the service a millisecond at least")
    request, response = config.request, config.response
    return policies.adding(
        ExtProc(
            cluster=context.cluster(config.backend, "config.backend", "GRPC"),
            timeout_ms=timeout,
            open_on_failure=config.failure_mode == "Open",
            request_headers=request.headers,
            response_headers=response.headers,
            request_body=_MODES[request.body],
            response_body=_MODES[response.body],
            request_trailers=request.trailers,
            response_trailers=response.trailers,
        )
    )


POLICY = PolicyType(
    "ext-proc",
    ExtProcConfig,
    _apply,
    summary="Hands requests and answers to a gRPC service that may change or answer them.",
    example="""\
backend: {kind: Service, name: redactor, port: 9000}
timeout: 500ms
request: {headers: true, body: Buffered}
response: {headers: true, body: Buffered}
""",
    errors=(
        (503, "the service is away or answers with an error, and failureMode is Closed"),
        (504, "the service does not answer in time, and failureMode is Closed"),
    ),
)
