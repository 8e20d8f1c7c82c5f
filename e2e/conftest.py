"""One cluster for all scenarios, and the chart installed in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import Cluster
from e2e.kind import cluster as kind
from e2e.local import cluster as local
from tools.build_tools import Toolset, ToolsMissingError


def _provider() -> tuple[str, str]:
    """Which provider runs the scenarios, and why; the name is empty when none can."""
    wanted = os.environ.get("FLUXGATE_E2E", "")
    reasons = {"kind": kind.why_not(), "local": local.why_not()}
    for name in (wanted,) if wanted else ("kind", "local"):
        if not reasons[name]:
            others = [f"{each}: {why}" for each, why in reasons.items() if why]
            return name, "; ".join(others)
    return "", "; ".join(f"{each}: {why}" for each, why in reasons.items())


def pytest_report_header() -> str:
    """Say which provider runs."""
    name, why = _provider()
    return f"e2e provider: {name or 'none'}" + (f" ({why})" if why else "")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster without FluxGate."""
    try:
        binaries = Toolset.from_environment().found()
    except ToolsMissingError as error:
        pytest.skip(str(error))
    name, why = _provider()
    if name == "kind":
        with kind.kind_cluster(binaries["helm"]) as cluster:
            yield cluster
    elif name == "local":
        scratch = tmp_path_factory.mktemp("cluster")
        with local.local_cluster(binaries, scratch, os.environ) as cluster:
            yield cluster
    else:
        pytest.skip(f"no cluster can be made here: {why}")


REPOSITORY = Path(__file__).resolve().parents[1]
