"""``response-size``: how large the body of an upstream's answer may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fluxgate.api.v1alpha1 import Model
from fluxgate.ir.policies.response_size import ResponseLimit
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class ResponseSizeConfig(Model):
    """The config of ``response-size``; answers of the gateway itself are not bounded."""

    max_bytes: Annotated[int, Field(ge=0, le=4_294_967_295)] = Field(
        description="The most bytes a body may have as the upstream sends it: before response-transform "
        "and compression, and still compressed where the upstream compresses; 0 for no body at all. "
        "A body of unknown length is held until it is whole, so choose what an Envoy can hold. Left "
        "alone are streams, which have no end to wait for (realtime routes with their WebSockets, "
        "gRPC, `text/event-stream`), and answers without a body (to HEAD, 204, 304)."
    )


def _apply(policies: Policies, config: ResponseSizeConfig, context: Context) -> Policies:
    if context.route.spec.realtime:
        return policies  # whatever it answers may be a stream, which has no end to wait for
    return policies.adding(ResponseLimit(config.max_bytes))


POLICY = PolicyType(
    "response-size",
    ResponseSizeConfig,
    _apply,
    summary="Refuses answers of upstreams whose body is larger than allowed, before the client sees any of it.",
    example="maxBytes: 1048576\n",
    errors=((502, "the body of the answer is larger than `maxBytes`"),),
)
