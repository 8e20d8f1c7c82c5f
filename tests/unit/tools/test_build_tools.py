"""Building: each program once, complete or not at all. The Go here is a script that only copies."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tools.build_tools import BuildError, build_missing
from tools.toolset import Toolset, programs

TEXT = """
go 1.26.0

tool (
	k8s.io/kubernetes/cmd/kubectl
)

require (
	k8s.io/kubernetes v1.37.1 // indirect
)
"""
GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.26.3; exit; fi
echo "$@" >>"$GO_CALLS"
while [ $# -gt 0 ]; do [ "$1" = -o ] && output=$2; shift; done
echo half >"$output"
[ -z "$GO_FAILS" ] || { echo "no such module" >&2; exit 1; }
echo whole >"$output"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    path = os.pathsep.join([str(go.parent), os.environ["PATH"]])
    return {"PATH": path, "GO_CALLS": str(tmp_path / "calls"), "GO_FAILS": ""}


@pytest.fixture
def tools(tmp_path: Path) -> Toolset:
    return Toolset(programs(TEXT), tmp_path / "cache", None, "")


def calls(environ: dict[str, str]) -> list[str]:
    return Path(environ["GO_CALLS"]).read_text().splitlines()


def test_two_runs_at_once_build_a_program_once(
    tools: Toolset, environ: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    runs = [threading.Thread(target=build_missing, args=(tools, environ)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert tools.find() == ({"kubectl": tools.built(tools.programs[0])}, ())
    (call,) = calls(environ)
    assert "-trimpath" in call
    assert "version.gitVersion=v1.37.1" in call
    assert call.endswith("k8s.io/kubernetes/cmd/kubectl")
    assert "building kubectl" in capsys.readouterr().err


def test_a_build_that_fails_leaves_nothing_and_says_why(tools: Toolset, environ: dict[str, str]):
    with pytest.raises(BuildError, match="no such module"):
        build_missing(tools, {**environ, "GO_FAILS": "yes"})
    assert tools.find() == ({}, ())
    assert list(tools.built(tools.programs[0]).parent.iterdir()) == []
    build_missing(tools, environ)
    assert tools.built(tools.programs[0]).read_text() == "whole\n"
