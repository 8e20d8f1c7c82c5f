"""``cors``: cross-origin policy; without it browsers refuse, so leaving it out is safe."""

from __future__ import annotations

from dataclasses import replace

from fluxgate.api.v1alpha1.policy import Cors
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


def _apply(policies: Policies, config: Cors, _context: Context) -> Policies:
    return replace(policies, cors=config)


POLICY = PolicyType("cors", Cors, _apply, harmless_without=True)
