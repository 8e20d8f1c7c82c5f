"""``fluxgate run`` as a supervisor sees it: signals, exit codes, and what becomes of requests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from support.client import request
from support.standalone import GATEWAY, route
from support.upstream import Answer, EchoUpstream, SeenRequest

STOP_SECONDS = 60.0
DRAIN = "10"

pytestmark = pytest.mark.envoy


@dataclass(slots=True)
class Command:
    """A ``fluxgate run`` of its own."""

    process: subprocess.Popen[str]
    log: Path
    port: int = 0

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def until_log(self, words: str) -> None:
        """Return when the log holds ``words``: a line that is read as it comes, no clock."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if words in line:
                return
        pytest.fail(f"the log ended without {words!r}")

    def ended(self) -> int:
        return self.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[Command]:
    """The command line over ``folder/config``; not necessarily ready."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "fluxgate_cli.main", "run", "--config", str(folder / "config")),
            *("--state-dir", str(folder / "state"), "--http-port", "0", "--envoy-concurrency", "1"),
            *("--drain-seconds", DRAIN, *options),
        ],
        env={k: v for k, v in os.environ.items() if not k.startswith("FLUXGATE_")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    family: list[psutil.Process] = []
    try:
        yield Command(process, folder / "log")
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        if process.poll() is None:
            process.kill()
        process.wait()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[Command]:
    """A ready one."""
    with running(folder, *options) as command:
        assert command.process.stdout is not None
        ready = command.process.stdout.readline()
        assert ready.startswith("ready: "), ready
        command.port = int(ready.rpartition(":")[2])
        yield command


class SlowUpstream:
    """An upstream that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()

    def __call__(self, seen: SeenRequest) -> Answer:
        self.asked.set()
        self.go.wait(STOP_SECONDS)
        return Answer(body=b"late, but whole")


@pytest.fixture
def slow() -> SlowUpstream:
    return SlowUpstream()


@pytest.fixture
def folder(tmp_path: Path, slow: SlowUpstream) -> Iterator[Path]:
    with EchoUpstream(respond=slow) as upstream:
        config = tmp_path / "config"
        config.mkdir()
        (config / "gateway.yaml").write_text(GATEWAY)
        (config / "slow.yaml").write_text(route("slow", "/slow", upstream.port))
        try:
            yield tmp_path
        finally:
            slow.go.set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_a_request_in_flight_complete(
    folder: Path, slow: SlowUpstream, number: signal.Signals
) -> None:
    with serving(folder) as command, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(request, command.port, "/slow/x")
        assert slow.asked.wait(STOP_SECONDS)
        command.signal(number)
        command.until_log("stopping")
        assert command.process.poll() is None
        slow.go.set()
        assert (answer.result().status, answer.result().body) == (200, b"late, but whole")
        assert command.ended() == 0


def test_a_second_signal_ends_at_once_and_leaves_no_envoy(folder: Path, slow: SlowUpstream) -> None:
    with serving(folder, "--drain-seconds", "300") as command, ThreadPoolExecutor(1) as pool:
        family = psutil.Process(command.process.pid).children(recursive=True)
        answer = pool.submit(request, command.port, "/slow/x")
        assert slow.asked.wait(STOP_SECONDS)
        command.signal(signal.SIGINT)
        command.until_log("stopping")
        command.signal(signal.SIGINT)
        assert command.ended() == 130
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        assert (len(family) > 0, alive) == (True, [])
        assert answer.exception() is not None
        assert command.process.stderr is not None
        assert "Traceback" not in command.process.stderr.read()


def test_a_signal_while_it_starts_is_obeyed(folder: Path) -> None:
    with running(folder) as command:
        command.until_log("reading")
        command.signal(signal.SIGTERM)
        assert command.ended() == 0
        assert command.process.stdout is not None
        assert command.process.stdout.read() in (
            "",
            f"ready: gateway=http://127.0.0.1:{command.port}\n",
        )


def test_a_json_log_is_json_in_every_line(folder: Path) -> None:
    (folder / "config" / "broken.yaml").write_text("spec: [")
    with serving(folder, "--log-format", "json") as command:
        command.signal(signal.SIGTERM)
        assert command.process.stderr is not None
        lines = [json.loads(line) for line in command.process.stderr.read().splitlines()]
        assert command.ended() == 0
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert [each["level"] for each in lines if "problem" in each["event"]][:1] == ["error"]
    assert any(line.get("envoy_logger") for line in lines), "Envoy's own lines are passed on"


def test_the_console_shows_nothing_but_what_matters(folder: Path) -> None:
    with serving(folder) as command:
        command.signal(signal.SIGTERM)
        assert command.process.stderr is not None
        told = command.process.stderr.read().splitlines()
        assert command.ended() == 0
    assert [line.split()[0] for line in told] == ["reading", "2", "stopping:"]
