"""What the Dockerfile is built from gets there: it is not kept back, and no package is forgotten."""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def copied() -> list[str]:
    """What ``COPY`` takes from the checkout, and not from another stage."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    words = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    return [each for found in words if not found[0].startswith("--from") for each in found]


def kept_back(path: str) -> bool:
    """Whether ``.dockerignore`` keeps a path out: the last pattern for it or a folder above decides."""
    parts = Path(path).parts
    covering = ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
    kept = False
    for pattern in (ROOT / ".dockerignore").read_text().splitlines():
        if any(fnmatch(each, pattern.removeprefix("!")) for each in covering):
            kept = not pattern.startswith("!")
    return kept


@pytest.mark.parametrize("path", copied())
def test_what_the_image_is_built_from_is_there_and_not_kept_back(path: str) -> None:
    assert (ROOT / path).exists()
    assert not kept_back(path)


def test_every_package_of_the_wheel_is_copied_into_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {each.split("/")[0] for each in packages} <= set(copied())


def test_the_image_takes_nothing_of_the_checkout_that_it_does_not_need() -> None:
    for path in (".git", ".venv", "tests", "docs", "e2e", "tools/toolset.py", ".fluxgate"):
        assert kept_back(path), path


def test_the_image_is_built_with_pinned_versions_and_a_go_that_is_new_enough() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert "-c constraints.txt" in text
    (image,) = re.findall(r"^FROM golang:(\d+)\.(\d+)-", text, re.MULTILINE)
    modules = (ROOT / "tools/ratelimit/go.mod").read_text()
    (needed,) = re.findall(r"^go (\d+)\.(\d+)", modules, re.MULTILINE)
    assert tuple(map(int, image)) >= tuple(map(int, needed))
