"""``ip-restriction``: which client addresses may call.

The address is the one the gateway trusts: that of the connection, or with
``GatewayConfig.spec.trustedHops`` the entry of ``x-forwarded-for`` so many hops from the right.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import Cidr
from fluxgate.api.v1alpha1.rules import Rule
from fluxgate.ir.policies.ip_restriction import IpRestriction
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class IpRestrictionConfig(Model):
    """The config of ``ip-restriction``: blocks in CIDR notation, IPv4 and IPv6."""

    allow: Annotated[tuple[Cidr, ...], Field(max_length=1024)] = Field(
        default=(), description="Only addresses of these blocks may call; empty means any."
    )
    deny: Annotated[tuple[Cidr, ...], Field(max_length=1024)] = Field(
        default=(),
        description="Addresses of these blocks may not call, even where allow holds them.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give allow or deny; without both every address may call",
            "(has(self.allow) && self.allow.size() > 0)"
            " || (has(self.deny) && self.deny.size() > 0)",
            lambda self: bool(self.allow or self.deny),
        ),
    )


def _apply(policies: Policies, config: IpRestrictionConfig, _context: Context) -> Policies:
    return policies.adding(IpRestriction(config.allow, config.deny))


POLICY = PolicyType(
    "ip-restriction",
    IpRestrictionConfig,
    _apply,
    summary="Admits or refuses client addresses by CIDR blocks, before any credential is looked at.",
    example="allow: [10.0.0.0/8, 2001:db8::/32]\ndeny: [10.6.6.0/24]\n",
    errors=((403, "the client's address is denied, or not among those allowed"),),
)
