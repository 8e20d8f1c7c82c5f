"""Options of the whole test suite."""

import pytest
from hypothesis import HealthCheck, settings
from support.no_skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_addoption", "pytest_make_collect_report", "pytest_runtest_makereport"]

# how long an example takes says more about the machine than about us
settings.register_profile(
    "fluxgate", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fluxgate")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-goldens",
        action="store_true",
        help="rewrite tests/golden/cases from what the code makes now, and delete stale files",
    )
