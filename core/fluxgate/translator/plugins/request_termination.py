"""``request-termination``: maintenance, for everybody but those who may pass all the same."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, ClassVar

from pydantic import Field

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import Cidr, Duration, Line, Name
from fluxgate.api.v1alpha1.policy import SecretRef
from fluxgate.api.v1alpha1.rules import Rule
from fluxgate.ir.policies.termination import RequestTermination
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.header_changes import ChangedHeader

_MIN_SECRET = 16


class BypassHeader(Model):
    """A header whose value lets a request through. It does not reach the upstream."""

    name: ChangedHeader
    secret_ref: SecretRef = Field(description="The Secret that holds the value.")
    key: Name = Field(
        default="value", description="The key in the Secret; its value has 16 characters or more."
    )


class Bypass(Model):
    """Who is let through: requests with the header, or from one of the addresses."""

    header: BypassHeader | None = None
    cidrs: Annotated[tuple[Cidr, ...], Field(max_length=256)] = ()

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "lets nobody through; give header or cidrs",
            "has(self.header) || has(self.cidrs) && self.cidrs.size() > 0",
            lambda self: self.header is not None or bool(self.cidrs),
        ),
    )


class RequestTerminationConfig(Model):
    """The config of ``request-termination``."""

    status: Annotated[int, Field(ge=400, le=599)] = 503
    message: Line = "The service is down for maintenance; try again later."
    retry_after: Duration | None = Field(
        default=None, description="The retry-after header, in whole seconds."
    )
    bypass: Bypass | None = None


def _apply(policies: Policies, config: RequestTerminationConfig, context: Context) -> Policies:
    bypass = config.bypass or Bypass.model_construct(header=None, cidrs=())
    seconds = -(-duration_ms(config.retry_after) // 1000) if config.retry_after else 0
    return policies.adding(
        RequestTermination(
            config.status,
            config.message,
            seconds,
            bypass.header.name if bypass.header else "",
            _digest(bypass.header, context) if bypass.header else "",
            bypass.cidrs,
        )
    )


def _digest(header: BypassHeader, context: Context) -> str:
    """Of the secret value: neither the route table nor the proxy needs the value itself."""
    path = "config.bypass.header.secretRef"
    value = context.secret(header.secret_ref, path, header.key).reveal().strip()
    if len(value) < _MIN_SECRET:
        raise PolicyError(
            path, f"the value under {header.key!r} is shorter than {_MIN_SECRET} characters"
        )
    return sha256(value).hexdigest()


POLICY = PolicyType(
    "request-termination",
    RequestTerminationConfig,
    _apply,
    summary="Answers every request with an error, before authentication, for maintenance.",
    example=(
        "status: 503\n"
        "message: Back at 6 o'clock.\n"
        "retryAfter: 1h\n"
        "bypass:\n"
        "  header: {name: x-maintenance-pass, secretRef: {name: maintenance}}\n"
        "  cidrs: [10.0.0.0/8]\n"
    ),
    errors=((503, "every request that is not let through; status chooses another one"),),
)
