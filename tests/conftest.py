"""Options of the whole test suite."""

import pytest
from support.no_skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_addoption", "pytest_make_collect_report", "pytest_runtest_makereport"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-goldens",
        action="store_true",
        help="rewrite tests/golden/cases from what the code makes now, and delete stale files",
    )
