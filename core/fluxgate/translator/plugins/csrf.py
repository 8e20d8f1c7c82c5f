"""``csrf``: changes only from the site itself, for routes that browsers call with cookies.

Methods that change something (POST, PUT, PATCH, DELETE) need an ``origin`` header, or else a
``referer``, that names the host of the request or one of the origins listed. The scheme is not compared.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.ir.policies.csrf import Csrf
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

SiteName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[1-9][0-9]{0,4})?$", max_length=253
    ),
]


class CsrfConfig(Model):
    """The config of ``csrf``."""

    additional_origins: Annotated[tuple[SiteName, ...], Field(max_length=64)] = Field(
        default=(),
        description="Other sites whose pages may send changes: app.example.com, *.example.com, "
        "with a port where it is not that of the scheme. The host of the request always may; where "
        "the gateway is reached on another port than 80 or 443, list it with that port.",
    )


def _apply(policies: Policies, config: CsrfConfig, _context: Context) -> Policies:
    return policies.adding(Csrf(config.additional_origins))


POLICY = PolicyType(
    "csrf",
    CsrfConfig,
    _apply,
    summary="Refuses changes that a browser sends on behalf of another site.",
    example="additionalOrigins: [app.example.com, '*.partner.example.com']\n",
    errors=((403, "a POST, PUT, PATCH or DELETE names no origin, or one that is not admitted"),),
)
