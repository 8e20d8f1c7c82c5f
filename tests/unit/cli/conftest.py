"""The command line in this process, as its ``main`` runs it."""

from __future__ import annotations

import sys

import pytest
from support.commandline import Fluxgate, Ran

from fluxgate_cli.main import main


@pytest.fixture
def fluxgate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fluxgate:
    """``fluxgate(*arguments)`` runs the command line and returns what came of it."""

    for name in ("FLUXGATE_CONFIG", "FLUXGATE_STATE_DIR", "FLUXGATE_HTTP_PORT", "NO_COLOR"):
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
