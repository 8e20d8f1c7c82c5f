"""Helm without any cluster."""

from __future__ import annotations

import pytest
from support.helm import Helm, offline

from tools.build_tools import Toolset, ToolsMissingError


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The pinned Helm; without it these tests are skipped."""
    try:
        binary = Toolset.from_environment().found()["helm"]
    except ToolsMissingError as error:
        pytest.skip(str(error))
    return offline(binary, tmp_path_factory.mktemp("helm"))


@pytest.fixture
def refresh(request: pytest.FixtureRequest) -> bool:
    """Whether ``--refresh-goldens`` was given."""
    return bool(request.config.getoption("--refresh-goldens"))
