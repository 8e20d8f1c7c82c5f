"""``fluxgate validate`` with the real Envoy, and ``explain`` on a folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from support.commandline import Fluxgate

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart"
DANGLING = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Route
metadata:
  name: dangling
spec:
  backends:
    - name: nowhere
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy = tmp_path / "config"
    copy.mkdir()
    for file in QUICKSTART.glob("*.yaml"):
        shutil.copyfile(file, copy / file.name)
    return copy


@pytest.mark.envoy
def test_the_quick_start_is_valid_and_envoy_says_so(fluxgate: Fluxgate, folder: Path) -> None:
    checked = fluxgate("validate", folder)
    assert checked.code == 0, checked.out
    assert "checked by the models, the references and Envoy" in checked.err
    assert checked.out == ""


@pytest.mark.envoy
def test_what_envoy_alone_can_see_is_found_in_its_own_words(
    fluxgate: Fluxgate, folder: Path
) -> None:
    (folder / "large.yaml").write_text(
        DANGLING.replace("name: nowhere", "name: echo")
        + "  matches: [{path: {type: Regex, value: '/([0-9a-f]{1,200}){1,4}x'}}]\n"
    )
    checked = fluxgate("validate", folder, "-o", "json")
    assert checked.code == 3
    (finding,) = json.loads(checked.out)["findings"]
    assert finding["source"] == "envoy"
    assert finding["object"] == "Route default/dangling"
    assert finding["file"] == str(folder / "large.yaml")
    assert "RE2 program size" in finding["message"]


def test_a_finding_names_file_line_object_and_field(fluxgate: Fluxgate, folder: Path) -> None:
    (folder / "typo.yaml").write_text(DANGLING.replace("backends:", "backend:"))
    checked = fluxgate("validate", folder, "--skip-envoy", "-o", "json")
    assert checked.code == 3
    (finding,) = json.loads(checked.out)["findings"]
    assert finding["file"] == str(folder / "typo.yaml")
    assert finding["line"] == 7
    assert finding["object"] == "Route default/dangling"
    assert "spec.backend: unknown field" in finding["message"]


def test_a_dangling_reference_is_found_on_its_object(fluxgate: Fluxgate, folder: Path) -> None:
    (folder / "dangling.yaml").write_text(DANGLING)
    checked = fluxgate("validate", folder, "--skip-envoy")
    assert checked.code == 3
    assert f"{folder / 'dangling.yaml'}:2" in checked.out
    assert "Route default/dangling" in checked.out
    assert "nowhere" in checked.out
    assert "1 problem in" in checked.err


def test_a_folder_without_a_gateway_would_serve_nothing(fluxgate: Fluxgate, tmp_path: Path) -> None:
    checked = fluxgate("validate", tmp_path, "--skip-envoy")
    assert checked.code == 3
    assert "no GatewayConfig" in checked.out


def test_an_object_that_is_switched_off_is_no_mistake(fluxgate: Fluxgate, folder: Path) -> None:
    (folder / "off.yaml").write_text(
        DANGLING.replace(
            "  backends:\n    - name: nowhere", "  enabled: false\n  backends:\n    - name: echo"
        )
    )
    checked = fluxgate("validate", folder, "--skip-envoy")
    assert checked.code == 0, checked.out


def test_checking_changes_nothing(fluxgate: Fluxgate, folder: Path) -> None:
    def state() -> list[tuple[str, int]]:
        return sorted((entry.name, entry.stat().st_mtime_ns) for entry in os.scandir(folder))

    before = state()
    fluxgate("validate", folder, "--skip-envoy")
    assert state() == before


def test_explain_follows_a_request_through_a_folder(fluxgate: Fluxgate, folder: Path) -> None:
    explained = fluxgate(
        "explain", "GET", "http://api.example.com/private/x", "-H", "apikey: flx_test_x",
        "--config", folder, "-o", "json",
    )  # fmt: skip
    assert explained.code == 0, explained.err
    reply = json.loads(explained.out)
    assert reply["object"] == "Route default/private"
    assert reply["credential"] == "ApiKey"
    assert "rate limit of plan demo" in reply["policies"]


def test_explain_shows_why_nothing_matches(fluxgate: Fluxgate, folder: Path) -> None:
    explained = fluxgate("explain", "GET", "/nowhere", "--config", folder)
    assert explained.code == 0
    assert "no route of this host matches the path (404)" in explained.out
    assert "path is not Prefix /public" in explained.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("GET", "/", "-H", "no colon"), "name: value"),
        (("G T", "/"), "method"),
        (("GET", "nowhere"), "names no host"),
        (("GET", "/", "--gateway", "other"), "There is: quickstart"),
    ],
)
def test_a_request_that_cannot_be_read_is_wrong_usage(
    fluxgate: Fluxgate, folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    refused = fluxgate("explain", *arguments, "--config", folder)
    assert refused.code == 2
    assert words in refused.err


def test_where_envoy_was_not_asked_that_is_said_with_the_reason(
    fluxgate: Fluxgate, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: gateway.fluxgate.io/v1alpha1\nkind: Backend\nmetadata: {name: a}\n"
        "spec: {url: 'http://127.0.0.1:9000'}\n"
    )
    wished = fluxgate("validate", tmp_path, "--partial", "--skip-envoy")
    assert "Envoy was not asked: as you wished" in wished.err


@pytest.mark.envoy
def test_a_part_without_a_gateway_has_nothing_that_envoy_could_be_asked(
    fluxgate: Fluxgate, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(
        "apiVersion: gateway.fluxgate.io/v1alpha1\nkind: Backend\nmetadata: {name: a}\n"
        "spec: {url: 'http://127.0.0.1:9000'}\n"
    )
    part = fluxgate("validate", tmp_path, "--partial", "-o", "json")
    assert part.code == 0
    found = json.loads(part.out)
    assert (found["checked_by_envoy"], found["not_asked"]) == (
        False,
        "there is no gateway for it here",
    )


def test_without_an_envoy_the_way_to_go_on_without_one_is_named(
    fluxgate: Fluxgate, folder: Path, tmp_path: Path
) -> None:
    missing = fluxgate("validate", folder, "--envoy", tmp_path / "nobody")
    assert missing.code == 6
    assert "--skip-envoy" in missing.err


def test_an_envoy_that_gives_no_answer_has_checked_nothing(
    fluxgate: Fluxgate, folder: Path, tmp_path: Path
) -> None:
    killed = tmp_path / "envoy"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    checked = fluxgate("validate", folder, "--envoy", killed, "-o", "json")
    assert checked.code == 3
    found = json.loads(checked.out)
    assert found["checked_by_envoy"] is False
    assert "could not check the gateway" in found["findings"][0]["message"]
