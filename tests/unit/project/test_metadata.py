"""What the project says about itself is true."""

from __future__ import annotations

import importlib
import pkgutil
import re
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("fluxgate", "fluxgate_xds", "fluxgate_operator", "fluxgate_admin", "fluxgate_cli")


def project() -> dict[str, object]:
    table: dict[str, object] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return table


def canonical(name: str) -> str:
    """The normalised form of a project name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def modules() -> list[ModuleType]:
    found = []
    for name in PACKAGES:
        package = importlib.import_module(name)
        found.append(package)
        walk = pkgutil.walk_packages(package.__path__, f"{name}.")
        # Alembic runs its env.py; who imports it has no migration under way
        own = (info.name for info in walk if not info.name.endswith(".migrations.env"))
        found += [importlib.import_module(each) for each in own]
    return found


def test_the_installed_version_is_the_projects() -> None:
    assert version("fluxgate") == project()["version"]


def test_the_changelog_tells_about_this_version_or_about_what_comes() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text or f"## [{version('fluxgate')}]" in text


def test_the_licence_is_the_whole_apache_licence() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_everything_a_module_exports_exists() -> None:
    missing = [
        f"{module.__name__}.{name}"
        for module in modules()
        for name in getattr(module, "__all__", ())
        if not hasattr(module, name)
    ]
    assert missing == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_is_for(package: str) -> None:
    assert importlib.import_module(package).__doc__


def test_constraints_pin_every_line_exactly_and_name_no_index() -> None:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)
    ] == []
    assert [line for line in lines if "://" in line or line.startswith("-")] == []


def test_constraints_pin_every_direct_dependency() -> None:
    table = project()
    extras = table["optional-dependencies"]
    assert isinstance(extras, dict)
    wanted = [*table["dependencies"], *(name for extra in extras.values() for name in extra)]  # type: ignore[misc]
    names = {canonical(re.split(r"[\s\[<>=!~;]", text, maxsplit=1)[0]) for text in wanted}
    pinned = {
        canonical(line.split("==")[0])
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line
    }
    assert names - pinned == set()


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (\S+)$", text, re.MULTILINE))
    described = set(re.findall(r"^([a-z0-9-]+):.*## \S", text, re.MULTILINE))
    assert phony == described
    assert phony >= {
        "install", "run", "test", "lint", "fmt", "typecheck", "generate", "golden", "bench", "build", "clean",
    }  # fmt: skip


def test_commit_hooks_download_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"- repo: (\S+)", text)) == {"local"}
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}


def test_the_index_of_decisions_names_every_page_by_its_title() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(folder.glob("[0-9]*.md"))
    numbers = [page.name[:4] for page in pages]
    assert [page.name for page in pages if f"]({page.name}) | " not in index] == []
    assert len(set(numbers)) == len(numbers), "two decisions share a number"


def test_every_link_between_pages_leads_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
