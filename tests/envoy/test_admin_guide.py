"""The guide ``admin-api.md`` as its reader follows it, with the quick start running."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.console import checked_examples, run_example, shape
from support.documentation import DOCS
from support.quickstart import ROOT, Running, quickstart

from fluxgate_cli.admin.environment import VARIABLES

GUIDE = DOCS / "guide" / "admin-api.md"
ECHO = re.compile(r"^\s*(?:- )?port:\s*(\d+)", re.MULTILINE)

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with quickstart(tmp_path_factory.mktemp("admin-guide") / "quickstart") as started:
        yield started


def as_here(running: Running, text: str) -> str:
    """The guide's addresses as they are in this test."""
    upstream = (running.home / "config" / "upstream.yaml").read_text()
    echo = ECHO.search(upstream)
    assert echo is not None, upstream
    return text.replace("http://127.0.0.1:8080", running.gateway).replace(
        "http://127.0.0.1:18080", f"http://127.0.0.1:{echo[1]}"
    )


def differs(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"req_[0-9a-f]+", "<request>", shape(line))
    return re.sub(r'"revision": \d+', '"revision": <number>', line)


def test_the_guides_commands_answer_as_printed(running: Running, tmp_path: Path) -> None:
    key, secret = (running.home / "admin-key").read_text().split()
    environment = {
        "FLUXGATE_SERVER": running.admin,
        "FLUXGATE_KEY": key,
        "FLUXGATE_SIGNING_SECRET": secret,
        "XDG_CONFIG_HOME": str(tmp_path),
    }
    examples = list(checked_examples(GUIDE.read_text(encoding="utf-8")))
    assert len(examples) > 12
    for example in examples:
        said = run_example(as_here(running, example.command), ROOT, environment)
        printed = [as_here(running, line) for line in example.answer]
        assert list(map(differs, said)) == list(map(differs, printed)), example.command


def test_the_variables_the_guide_names_are_those_there_are() -> None:
    named = set(re.findall(r"FLUXGATE_ADMIN_([A-Z_]+)", GUIDE.read_text()))
    assert named <= {name for name, _ in VARIABLES} | {"MASTER_KEYS"}
