"""The command line as a whole: help, exit codes, streams, colours."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from support.commandline import Fluxgate

from fluxgate.api.v1alpha1 import KINDS
from fluxgate_cli.errors import ExitCode

ROOT = Path(__file__).parents[3]
COMMANDS = ("run", "status", "validate", "explain", "api-keys", "crds", "bootstrap", "version")


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


def test_every_variable_the_options_read_is_documented(fluxgate: Fluxgate) -> None:
    shown = " ".join(fluxgate(command, "--help").out for command in ("run", "status", "explain"))
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
