"""The guide ``getting-started.md`` as its reader follows it: every file and every command."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.console import Example, checked_examples, run_example, shape
from support.ports import free_port
from support.upstream import EchoUpstream

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "getting-started.md"
FILE = re.compile(r"^`(config/[\w./-]+)`:\n\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = "fluxgate run "
START_SECONDS = 120.0
STOP_SECONDS = 60.0

pytestmark = pytest.mark.envoy


@dataclass(slots=True)
class Reader:
    """Somebody with a terminal for the gateway and one for everything else."""

    folder: Path
    ports: dict[str, int]
    gateway: subprocess.Popen[bytes] | None = None
    variables: Path = field(init=False)

    def __post_init__(self) -> None:
        self.variables = self.folder.parent / "variables"

    def here(self, text: str) -> str:
        """The guide's ports as they are in this test."""
        for printed, real in self.ports.items():
            text = re.sub(rf"(?<=[: ]){printed}\b", str(real), text)
        return text

    def write_files(self, markdown: str) -> list[str]:
        """Write the files the guide shows; returns their names."""
        shown = FILE.findall(markdown)
        for name, text in shown:
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.here(text))
        return [name for name, _ in shown]

    def do(self, command: str) -> list[str]:
        """Run one command; shell variables last from one to the next."""
        command = self.here(command)
        if command.startswith(RUN):
            return self._run(command)
        kept = f"[ -f '{self.variables}' ] && . '{self.variables}'"
        keep = f"declare -p KEY > '{self.variables}' 2>/dev/null"
        return run_example(f"{kept}\n{command}\n{keep}", self.folder, {})

    def _run(self, command: str) -> list[str]:
        """Start the gateway; what it says until it is ready."""
        bin_folder = Path(sys.executable).parent
        told = self.folder.parent / "gateway.txt"
        with told.open("wb") as out:
            self.gateway = subprocess.Popen(
                [str(bin_folder / "fluxgate"), *command.split()[1:]],
                cwd=self.folder,
                env={k: v for k, v in os.environ.items() if not k.startswith("FLUXGATE_")}
                | {"NO_COLOR": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=out,
            )
        assert self.gateway.stdout is not None
        ready = self.gateway.stdout.readline().decode()
        return [*told.read_text().splitlines(), ready.strip()]

    def stop(self) -> None:
        """Ctrl-C in the gateway's terminal."""
        if self.gateway is None:
            return
        self.gateway.send_signal(signal.SIGINT)
        try:
            self.gateway.communicate(timeout=STOP_SECONDS)
        finally:
            if self.gateway.poll() is None:
                self.gateway.kill()
                self.gateway.wait()


@contextlib.contextmanager
def reader(folder: Path) -> Iterator[Reader]:
    """A reader with a service of their own on the port the guide calls 3000."""
    folder.mkdir(parents=True)
    with EchoUpstream() as service:
        ports = {"8080": free_port(), "8443": free_port(), "3000": service.port}
        made = Reader(folder, ports)
        try:
            yield made
        finally:
            made.stop()


def examples() -> list[Example]:
    return list(checked_examples(GUIDE.read_text(encoding="utf-8")))


def test_the_guides_commands_answer_as_printed(tmp_path: Path) -> None:
    with reader(tmp_path / "my-gateway") as person:
        assert person.write_files(GUIDE.read_text(encoding="utf-8")) == [
            "config/gateway.yaml",
            "config/orders.yaml",
        ]
        for example in examples():
            answer = [shape(line) for line in person.do(example.command)]
            printed = [shape(person.here(line)) for line in example.answer]
            assert answer == printed, example.command


def test_the_guide_goes_all_the_way() -> None:
    commands = "\n".join(example.command for example in examples())
    for step in (
        "validate",
        "run",
        "api-keys create",
        "status --wait",
        "explain",
        "api-keys revoke",
    ):
        assert f"fluxgate {step}" in commands, step
    answers = "\n".join(line for example in examples() for line in example.answer)
    for sign in ("200", "401", "429", "access-control-allow-origin", "exit code 3"):
        assert sign in answers, sign
