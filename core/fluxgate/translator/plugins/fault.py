"""``fault``: delays and errors on purpose, to see what callers make of them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import Duration, Line, Percent
from fluxgate.api.v1alpha1.matching import HeaderMatch
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.ir import ValueKind, ValueMatch
from fluxgate.ir.policies.fault import Fault
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class FaultDelay(Model):
    """Hold the request for a time before it goes on."""

    duration: Duration
    percent: Percent = Field(default=100, description="Of the requests; four decimal places count.")


class FaultAbort(Model):
    """Answer with an error instead of the upstream."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    grpc_status: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None, description="A gRPC status code, for routes that carry gRPC."
    )
    percent: Percent = Field(default=100, description="Of the requests; four decimal places count.")
    message: Line = "This error was injected by the gateway."

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of status and grpcStatus",
            "has(self.status) != has(self.grpcStatus)",
            lambda self: how_many(self.status, self.grpc_status) == 1,
        ),
    )


class FaultConfig(Model):
    """The config of ``fault``. Delay and abort are drawn independently of each other."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16)] = Field(
        default=(), description="Only requests that meet all of these; empty means every one."
    )
    max_active: Annotated[int, Field(ge=0, le=4_294_967_295)] | None = Field(
        default=None,
        description="The most faults at the same time in one Envoy; unlimited if absent.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "injects nothing; give delay or abort",
            "has(self.delay) || has(self.abort)",
            lambda self: how_many(self.delay, self.abort) > 0,
        ),
    )


def _apply(policies: Policies, config: FaultConfig, _context: Context) -> Policies:
    delay, abort = config.delay, config.abort
    return policies.adding(
        Fault(
            delay_ms=duration_ms(delay.duration) if delay else 0,
            delay_percent=delay.percent if delay else 0,
            http_status=(abort.status or 0) if abort else 0,
            grpc_status=(abort.grpc_status or 0) if abort else 0,
            abort_percent=abort.percent if abort else 0,
            message=abort.message if abort else "",
            headers=tuple(
                ValueMatch(each.name.lower(), ValueKind(each.type), each.value)
                for each in config.headers
            ),
            max_active=config.max_active,
        )
    )


POLICY = PolicyType(
    "fault",
    FaultConfig,
    _apply,
    harmless_without=True,
    summary="Delays a share of the requests, or answers them with an error.",
    example=(
        "delay: {duration: 300ms, percent: 10}\n"
        "abort: {status: 503, percent: 1}\n"
        'headers: [{name: x-chaos, value: "on"}]\n'
    ),
    errors=((503, "a request drawn for an abort; status or grpcStatus choose another one"),),
)
