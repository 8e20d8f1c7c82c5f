"""``cors``: cross-origin policy; without it browsers refuse, so leaving it out is safe."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.policy import Cors
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: Cors, _context: Context) -> Policies:
    return replace(policies, cors=config)


POLICY = PolicyType(
    "cors",
    Cors,
    _apply,
    harmless_without=True,
    summary="Lets pages of other origins call a route; preflights are answered before authentication.",
    example="""\
allowOrigins: [https://app.example.com, "https://*.example.org"]
allowMethods: [GET, POST]
allowHeaders: [authorization, content-type]
allowCredentials: true
maxAge: 1h
""",
)
