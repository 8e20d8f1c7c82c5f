"""The command line as a whole: help, exit codes, streams, colours."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.commandline import Fluxgate

from fluxgate.api.v1alpha1 import KINDS
from fluxgate_cli.errors import ExitCode

ROOT = Path(__file__).parents[3]
COMMANDS = (
    "run",
    "controller",
    "status",
    "validate",
    "explain",
    "api-keys",
    "crds",
    "routes",
    "plugins",
    "config",
    "history",
    "nodes",
    "context",
    "request",
    "dump",
    "diff",
    "apply",
    "import",
    "bootstrap",
    "version",
)


def test_help_names_every_command_and_the_exit_codes(fluxgate: Fluxgate) -> None:
    shown = fluxgate("--help")
    assert shown.code == 0
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", shown.out)] == []
    assert "no running instance" in " ".join(shown.out.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_documents_itself(fluxgate: Fluxgate, command: str) -> None:
    shown = fluxgate(command, "--help")
    assert shown.code == 0
    assert f"fluxgate {command}" in shown.out
    assert "Exit codes" in shown.out


def test_the_documented_exit_codes_are_the_ones_used() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert documented == {int(code) for code in ExitCode}


def test_every_variable_the_options_read_is_documented(
    fluxgate: Fluxgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = " ".join(
        fluxgate(command, "--help").out for command in ("run", "controller", "status", "explain")
    )
    variables = set(re.findall(r"FLUXGATE_[A-Z_]+", shown))
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert variables
    assert {name for name in variables if f"`{name}`" not in text} == set()


@pytest.mark.parametrize("arguments", [("nonsense",), ("status", "--nonsense"), ("explain", "GET")])
def test_wrong_usage_is_two(fluxgate: Fluxgate, arguments: tuple[str, ...]) -> None:
    refused = fluxgate(*arguments)
    assert refused.code == ExitCode.USAGE
    assert refused.out == ""


def test_no_running_instance_is_five(fluxgate: Fluxgate, tmp_path: Path) -> None:
    refused = fluxgate("status", "--state-dir", tmp_path)
    assert refused.code == ExitCode.NOT_RUNNING
    assert "Start one with" in refused.err


def test_no_envoy_is_six(fluxgate: Fluxgate, tmp_path: Path) -> None:
    refused = fluxgate("validate", ROOT / "examples" / "quickstart", "--envoy", tmp_path / "envoy")
    assert refused.code == ExitCode.NO_ENVOY
    assert str(tmp_path / "envoy") in refused.err


def test_no_folder_is_two(fluxgate: Fluxgate, tmp_path: Path) -> None:
    for command in (("run", "--config"), ("validate",), ("explain", "GET", "/", "--config")):
        refused = fluxgate(*command, tmp_path / "nowhere")
        assert refused.code == ExitCode.USAGE
        assert "does not exist" in refused.err


def test_an_error_shows_no_traceback(fluxgate: Fluxgate, tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    refused = fluxgate("status", "--state-dir", tmp_path / "state")
    assert refused.code != 0
    assert "Traceback" not in refused.err


def test_nothing_is_coloured_when_it_is_not_a_terminal(fluxgate: Fluxgate, tmp_path: Path) -> None:
    refused = fluxgate("status", "--state-dir", tmp_path)
    assert "\x1b[" not in refused.err


def test_crds_prints_every_kind(fluxgate: Fluxgate) -> None:
    printed = list(yaml.safe_load_all(fluxgate("crds").out))
    assert [each["spec"]["names"]["plural"] for each in printed] == [kind.plural for kind in KINDS]


def test_crds_writes_one_file_a_kind(fluxgate: Fluxgate, tmp_path: Path) -> None:
    done = fluxgate("crds", "--output", tmp_path / "crds")
    assert (done.code, done.out) == (0, "")
    written = {
        path.name: yaml.safe_load(path.read_text()) for path in (tmp_path / "crds").iterdir()
    }
    committed = {path.name: yaml.safe_load(path.read_text()) for path in (ROOT / "crds").iterdir()}
    assert written == committed


def test_version_names_fluxgate_and_envoy(fluxgate: Fluxgate) -> None:
    assert re.fullmatch(r"fluxgate \S+\npython \S+\nenvoy \S+\n", fluxgate("version").out)
    assert set(json.loads(fluxgate("version", "-o", "json").out)) == {"fluxgate", "python", "envoy"}


@pytest.mark.parametrize("command", [*(each for each in COMMANDS if each != "api-keys")])
def test_every_help_shows_an_example_that_fits_a_screen(fluxgate: Fluxgate, command: str) -> None:
    lines = fluxgate(command, "--help").out.splitlines()
    shown = [line.strip() for line in lines if line.strip().startswith("fluxgate ")]
    assert shown, command
    assert all(each.startswith(f"fluxgate {command}") for each in shown)


@pytest.mark.parametrize("command", ["create", "list", "revoke"])
def test_every_key_command_shows_an_example(fluxgate: Fluxgate, command: str) -> None:
    assert f"  fluxgate api-keys {command}" in fluxgate("api-keys", command, "--help").out


def in_a_terminal(arguments: list[str], **variables: str) -> str:
    """What the command line writes to a terminal of 100 columns."""
    leader, follower = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fluxgate_cli.main", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables},
            check=False,
        )
        assert done.returncode == ExitCode.NOT_RUNNING
        return os.read(leader, 65536).decode()
    finally:
        os.close(leader)
        os.close(follower)


def test_a_terminal_is_coloured_unless_no_color_is_set(tmp_path: Path) -> None:
    arguments = ["status", "--state-dir", str(tmp_path)]
    assert "\x1b[31m" in in_a_terminal(arguments, NO_COLOR="").replace("\x1b[1;31m", "\x1b[31m")
    assert "\x1b[31m" not in in_a_terminal(arguments, NO_COLOR="1").replace("1;31m", "31m")


def test_completion_for_bash_is_a_script_bash_can_read(tmp_path: Path) -> None:
    script = subprocess.run(
        [str(Path(sys.executable).parent / "fluxgate"), "--show-completion", "bash"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert "fluxgate" in script


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("fluxgate sta", {"status"}), ("fluxgate api-keys ", {"create", "list", "revoke"})],
)
def test_completion_offers_what_can_follow(typed: str, offered: set[str]) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "fluxgate")],
        env={
            **os.environ,
            "_FLUXGATE_COMPLETE": "complete_bash",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(typed.count(" ")),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == offered
