"""The real Envoy takes every example of the catalogue."""

from __future__ import annotations

import pytest
from support.envoy import validate
from support.plugin_examples import translated

from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("plugins", [False, True], ids=["in routes", "as Plugins"])
def test_the_real_envoy_takes_all_examples_together(plugins: bool) -> None:
    (gateway,) = translated(*POLICY_TYPES, plugins=plugins).gateways.values()
    result = validate(static_bootstrap(build_snapshot(gateway)))
    assert result.ok, result.message
