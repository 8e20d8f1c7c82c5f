"""The wheel, made from the source archive, is complete and works on its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from support.envoy import envoy_binary
from support.fluxgate_run import environment, fluxgate_run
from support.ports import free_port
from support.standalone import GATEWAY

ROOT = Path(__file__).parents[3]
PACKAGES = ("fluxgate", "fluxgate_xds", "fluxgate_operator", "fluxgate_admin", "fluxgate_cli")


def run(*command: str | Path, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
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


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it says it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    run(
        programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "-c", ROOT / "constraints.txt", wheel, cwd=folder,
    )  # fmt: skip
    return programs


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(installed: Path, tmp_path: Path) -> None:
    assert "fluxgate" in run(installed / "fluxgate", "version", cwd=tmp_path)


IMPORT_ALL = """
import importlib, pkgutil, sys
for package in sys.argv[1:]:
    top = importlib.import_module(package)
    for module in pkgutil.walk_packages(top.__path__, package + "."):
        if not module.name.endswith(".migrations.env"):  # Alembic runs it; it is no module
            importlib.import_module(module.name)
            print(module.name)
"""


@pytest.mark.slow
def test_every_module_of_the_wheel_is_imported_with_nothing_but_what_the_wheel_needs(
    installed: Path, tmp_path: Path
) -> None:
    done = run(installed / "python", "-W", "error", "-c", IMPORT_ALL, *PACKAGES, cwd=tmp_path)
    assert {"fluxgate_admin.v2.routes", "fluxgate_cli.admin.cluster"} <= set(done.split())


@pytest.mark.slow
def test_the_admin_api_of_the_wheel_makes_its_database_a_first_key_and_answers(
    installed: Path, tmp_path: Path
) -> None:
    program = str(installed / "fluxgate")
    variables = {
        "FLUXGATE_ADMIN_MASTER_KEYS": base64.b64encode(os.urandom(32)).decode(),
        "FLUXGATE_ADMIN_DATABASE": f"sqlite+aiosqlite:///{tmp_path / 'admin.db'}",
        "FLUXGATE_ENVOY": str(envoy_binary()),
    }
    outer = {**environment(), **variables}
    assert "at revision" in run(program, "admin", "migrate", cwd=tmp_path, env=outer)
    first = json.loads(
        run(program, "admin", "bootstrap", "-o", "json", cwd=tmp_path, env=outer),
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(GATEWAY)

    port = free_port()
    ports = ("--http-port", str(free_port()), "--admin-port", str(port))
    with fluxgate_run(tmp_path, *ports, variables=variables, program=(program,)) as running:
        assert running.process.poll() is None, running.stderr
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            key = {"x-fluxgate-key": first["key"]}
            assert client.get("/v2/routes", headers=key).json()["data"] == []
            assert client.get("/docs").status_code == 200
            assert client.get("/openapi.json").status_code == 200


def test_the_environment_of_the_tests_does_not_leak_into_the_wheel() -> None:
    assert "PYTHONPATH" not in os.environ
