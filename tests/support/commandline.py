"""The command line in this process, as its ``main`` runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fluxgate_cli.main import main

VARIABLES = ("FLUXGATE_CONFIG", "FLUXGATE_STATE_DIR", "FLUXGATE_HTTP_PORT", "NO_COLOR")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Fluxgate = Callable[..., Ran]
"""``fluxgate(*arguments)`` runs the command line and returns what came of it."""


@pytest.fixture
def fluxgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fluxgate:
    """Run ``fluxgate`` with an environment that says nothing about it."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["fluxgate", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run
