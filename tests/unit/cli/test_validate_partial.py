"""``fluxgate validate --partial``: a folder that is one part of a configuration."""

from __future__ import annotations

from pathlib import Path

from support.commandline import Fluxgate

from fluxgate_cli.errors import ExitCode

ROUTE = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata: {name: orders}
spec:
  matches: [{path: {value: /orders}}]
  backends: [{name: elsewhere}]
"""


def test_gateways_and_backends_of_a_part_may_be_elsewhere(
    fluxgate: Fluxgate, tmp_path: Path
) -> None:
    (tmp_path / "orders.yaml").write_text(ROUTE)
    whole = fluxgate("validate", tmp_path, "--skip-envoy")
    assert whole.code == ExitCode.INVALID
    part = fluxgate("validate", tmp_path, "--skip-envoy", "--partial")
    assert part.code == 0
    assert "gateway none" in part.err


def test_what_is_wrong_by_itself_is_wrong_in_a_part(fluxgate: Fluxgate, tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(ROUTE.replace("matches", "match"))
    refused = fluxgate("validate", tmp_path, "--skip-envoy", "--partial")
    assert refused.code == ExitCode.INVALID
    assert "spec.match" in refused.out
