"""The source folders hold packages and nothing that could shadow or be shadowed."""

from __future__ import annotations

import operator
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE_FOLDERS = {
    "core": "fluxgate",
    "xds_server": "fluxgate_xds",
    "operator": "fluxgate_operator",
    "admin_api": "fluxgate_admin",
    "cli": "fluxgate_cli",
}
MAX_LINES = 600


def tracked_files(*patterns: str) -> list[Path]:
    """Files git knows or would add; what .gitignore names is not ours to judge."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def test_operator_is_the_standard_librarys_in_this_process() -> None:
    assert Path(operator.__file__).is_relative_to(sysconfig.get_path("stdlib"))


def test_operator_is_the_standard_librarys_when_python_starts_in_the_root() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    assert Path(found).is_relative_to(sysconfig.get_path("stdlib"))


@pytest.mark.parametrize(("folder", "package"), SOURCE_FOLDERS.items())
def test_a_source_folder_holds_exactly_one_package_and_no_loose_module(
    folder: str, package: str
) -> None:
    entries = {path.relative_to(ROOT / folder).parts for path in tracked_files(f"{folder}/**")}
    assert {parts[0] for parts in entries} == {package}
    assert (package, "__init__.py") in entries
    assert (package, "py.typed") in entries


@pytest.mark.parametrize("folder", SOURCE_FOLDERS)
def test_no_test_lives_inside_a_source_folder(folder: str) -> None:
    names = [path.name for path in tracked_files(f"{folder}/**.py")]
    assert [name for name in names if name == "conftest.py" or name.startswith("test_")] == []


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for name in SOURCE_FOLDERS for path in tracked_files(f"{name}/**.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_no_module_is_longer_than_the_budget() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in tracked_files("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_no_module_is_a_bag_of_leftovers() -> None:
    bags = {"utils.py", "helpers.py", "misc.py", "common.py", "util.py"}
    assert [path for path in tracked_files("*.py") if path.name in bags] == []


def test_no_generated_or_private_file_is_tracked() -> None:
    unwanted = {".pyc", ".pem", ".key", ".whl", ".so"}
    assert [path for path in tracked_files() if path.suffix in unwanted] == []
