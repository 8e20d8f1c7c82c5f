"""Fixtures of the golden tests."""

import pytest


@pytest.fixture
def refresh(request: pytest.FixtureRequest) -> bool:
    """Whether ``--refresh-goldens`` was given."""
    return bool(request.config.getoption("--refresh-goldens"))
