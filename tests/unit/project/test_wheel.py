"""The wheel, made from the source archive, is complete and works on its own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("fluxgate", "fluxgate_xds", "fluxgate_operator", "fluxgate_admin", "fluxgate_cli")


def run(*command: str | Path, cwd: Path) -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``python -m build`` makes the wheel from the source archive, in isolation."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, ROOT, cwd=out)
    (path,) = out.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_every_package(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    listing = run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard",
        "core", "xds_server", "operator", "admin_api", "cli", cwd=ROOT,
    )  # fmt: skip
    wanted = {name.split("/", 1)[1] for name in listing.split() if (ROOT / name).is_file()}
    assert wanted - held == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= held
    assert [name for name in held if name.endswith(".lua")]


@pytest.mark.slow
def test_the_wheel_holds_nothing_but_the_packages_and_its_metadata(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    run(sys.executable, "-m", "venv", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    run(
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path,
    )  # fmt: skip
    imports = "; ".join(f"import {package}" for package in PACKAGES)
    run(python, "-W", "error", "-c", imports, cwd=tmp_path)
    assert "fluxgate" in run(environment / "bin" / "fluxgate", "version", cwd=tmp_path)


def test_the_environment_of_the_tests_does_not_leak_into_the_wheel() -> None:
    assert "PYTHONPATH" not in os.environ
