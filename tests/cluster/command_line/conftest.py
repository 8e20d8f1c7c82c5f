"""One cluster, one gateway and one admin API for all tests here: each uses names of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.cluster import ControlPlane
from support.cluster_cli import ClusterCli, cluster_cli


@pytest.fixture(scope="module")
def cli(
    control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterCli]:
    with cluster_cli(control_plane, tmp_path_factory.mktemp("home")) as running:
        yield running
