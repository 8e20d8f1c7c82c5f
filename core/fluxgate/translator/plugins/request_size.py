"""``request-size``: how large a request's body may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fluxgate.api.v1alpha1 import Model
from fluxgate.ir.policies.request_size import BodyLimit
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class RequestSizeConfig(Model):
    """The config of ``request-size``; it takes the place of the gateway's maxRequestBodyBytes."""

    max_bytes: Annotated[int, Field(ge=0, le=4_294_967_295)] = Field(
        description="The most bytes a body may have; 0 for no body at all. A body of unknown "
        "length is held until it is whole, so choose what an Envoy can hold, except on realtime "
        "routes, of upgrades and of gRPC: those are bounded by flow control alone."
    )


def _apply(policies: Policies, config: RequestSizeConfig, context: Context) -> Policies:
    return policies.adding(BodyLimit(config.max_bytes, streams=context.route.spec.realtime))


POLICY = PolicyType(
    "request-size",
    RequestSizeConfig,
    _apply,
    summary="Refuses requests whose body is larger than allowed, before the upstream sees any of it.",
    example="maxBytes: 1048576\n",
    errors=((413, "the body is larger than `maxBytes`"),),
)
