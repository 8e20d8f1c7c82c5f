"""In CI nothing is skipped: a test that could not run is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
CONFTEST = "from support.no_skips import pytest_make_collect_report, pytest_runtest_makereport\n"
BY_MARK = "import pytest\n@pytest.mark.skip(reason='no moon')\ndef test_it(): pass\n"
IN_THE_TEST = "import pytest\ndef test_it(): pytest.skip('no moon')\n"
WHOLE_MODULE = "import pytest\npytest.skip('no moon', allow_module_level=True)\n"
EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_it(): assert False\n"


def run(folder: Path, test: str, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_it.py").write_text(test)
    (folder / "test_other.py").write_text("def test_other(): pass\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.parametrize("test", [BY_MARK, IN_THE_TEST, WHOLE_MODULE])
def test_a_skip_fails_the_run_in_ci_and_says_why(tmp_path: Path, test: str) -> None:
    done = run(tmp_path, test, "true")
    assert done.returncode != 0
    assert "nothing may be skipped in CI" in done.stdout
    assert "no moon" in done.stdout


@pytest.mark.parametrize("test", [BY_MARK, IN_THE_TEST, WHOLE_MODULE])
def test_elsewhere_a_skip_is_a_skip(tmp_path: Path, test: str) -> None:
    assert run(tmp_path, test, "").returncode == 0


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    assert run(tmp_path, EXPECTED, "true").returncode == 0


def test_the_suite_uses_these_hooks() -> None:
    assert CONFTEST in (TESTS / "conftest.py").read_text()
