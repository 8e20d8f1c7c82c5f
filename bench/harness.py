"""What every benchmark needs: processes, their CPU time, load, and a running gateway.

Absolute figures depend on the machine. Everything that is reported as a ratio
comes from runs that alternate on the same machine within the same minute, and
from CPU time rather than wall-clock time where the two can differ.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from fluxgate_operator.envoy.locate import locate_envoy

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
API_VERSION = "gateway.fluxgate.io/v1alpha1"


class BenchError(Exception):
    """A benchmark could not be run as described; its figures would be worthless."""


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def require(program: str, package: str) -> str:
    """The path of a load tool, or an error that says which package has it."""
    path = shutil.which(program)
    if path is None:
        raise BenchError(f"{program} is not installed; apt-get install {package}")
    return path


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of the load generator measured."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float
    failed: int
    """Responses that are not 2xx or 3xx, and socket errors of every kind."""
    cpu_us_per_request: float


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def _millis(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if match is None:
        raise BenchError(f"wrk printed a latency this cannot read: {text!r}")
    return float(match[1]) * _UNITS[match[2]]


def parse_wrk(output: str) -> tuple[int, float, float, float, int]:
    """Requests, requests a second, p50 and p99 in ms, and failures of one wrk run."""

    def find(pattern: str) -> str:
        match = re.search(pattern, output)
        if match is None:
            raise BenchError(f"wrk did not print {pattern!r}:\n{output}")
        return match[1]

    failed = 0
    if match := re.search(r"Non-2xx or 3xx responses: (\d+)", output):
        failed += int(match[1])
    if match := re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output
    ):
        failed += sum(map(int, match.groups()))
    return (
        int(find(r"(\d+) requests in")),
        float(find(r"Requests/sec:\s+([\d.]+)")),
        _millis(find(r"\n\s+50%\s+(\S+)")),
        _millis(find(r"\n\s+99%\s+(\S+)")),
        failed,
    )


def load(
    url: str,
    pid: int,
    *,
    seconds: int,
    connections: int = 32,
    headers: Sequence[str] = (),
    script: Path | None = None,
) -> Load:
    """Run wrk (one thread, closed loop) and charge the CPU time of process ``pid`` to its requests."""
    command = [require("wrk", "wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for header in headers:
        command += ["-H", header]
    if script is not None:
        command += ["-s", str(script)]
    before = cpu_seconds(pid)
    output = subprocess.run([*command, url], check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(pid) - before
    requests, rps, p50, p99, failed = parse_wrk(output)
    return Load(requests, rps, p50, p99, failed, spent / max(requests, 1) * 1e6)


def median(values: Sequence[float]) -> float:
    """The median; a name of its own keeps call sites short."""
    return statistics.median(values)


@contextlib.contextmanager
def process(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child process that is always ended, with its output in ``log``.

    It gets the variables of ``environment`` besides ours.
    """
    variables = {**os.environ, **(environment or {})}
    with log.open("wb") as sink:
        child = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=variables)
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(timeout=30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def until(condition: object, seconds: float, what: str) -> None:
    """Call ``condition`` until it returns something true, or raise after ``seconds``."""
    if not callable(condition):
        raise TypeError("condition must be callable")
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} did not happen within {seconds:.0f} s")
        time.sleep(0.02)


def accepts(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    with socket.socket() as sock:
        sock.settimeout(0.5)
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def static_envoy(config: dict[str, object], folder: Path, port: int) -> Iterator[int]:
    """An Envoy with a fixed configuration and one worker; yields its process id."""
    path = folder / f"static-{port}.json"
    path.write_text(json.dumps(config))
    command = [
        str(locate_envoy(os.environ)),
        *("-c", str(path), "--concurrency", "1", "--use-dynamic-base-id", "-l", "error"),
    ]
    with process(command, folder / f"static-{port}.log") as child:
        until(lambda: accepts(port), 30, f"the static Envoy on port {port}")
        yield child.pid


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway started by ``fluxgate run`` on a folder of its own."""

    config: Path
    state: Path
    port: int
    pid: int
    envoy_pid: int

    @property
    def url(self) -> str:
        """The address of its HTTP listener."""
        return f"http://127.0.0.1:{self.port}"

    def wait(self, seconds: float = 120) -> None:
        """Return when every node serves everything that was written."""
        fluxgate("status", "--wait", "--timeout", f"{seconds:.0f}", "--state-dir", str(self.state))

    def write(self, name: str, *documents: object) -> None:
        """Write one file of the configuration folder at once (rename)."""
        path = self.config / name
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        temporary.rename(path)


def fluxgate(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run the command-line interface and return its standard output."""
    command = [sys.executable, "-m", "fluxgate_cli.main", *arguments]
    variables = {**os.environ, **(environment or {})}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if result.returncode != 0:
        raise BenchError(f"{' '.join(arguments)}: exit {result.returncode}\n{result.stderr}")
    return result.stdout


@contextlib.contextmanager
def gateway(
    files: dict[str, list[object]],
    *,
    seconds: float = 180,
    xds_port: int = 0,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningGateway]:
    """Start ``fluxgate run`` on ``files`` and yield it when everything is served.

    It gets ``arguments`` and ``environment`` besides.
    """
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        folder = Path(scratch)
        config, state, port = folder / "config", folder / "state", free_port()
        config.mkdir()
        for name, documents in files.items():
            (config / name).write_text(yaml.safe_dump_all(documents, sort_keys=False))
        command = [
            *(sys.executable, "-m", "fluxgate_cli.main", "run"),
            *("--config", str(config), "--state-dir", str(state)),
            *("--http-port", str(port), "--envoy-concurrency", "1", "--xds-port", str(xds_port)),
            *arguments,
        ]
        with process(command, folder / "run.log", environment) as child:
            try:
                until(lambda: accepts(port) or child.poll() is not None, seconds, "the gateway")
                running = RunningGateway(config, state, port, child.pid, _envoy_of(child.pid))
                running.wait(seconds)
            except BenchError as error:
                log = (folder / "run.log").read_text(errors="replace")
                raise BenchError(f"{error}\n--- log of fluxgate run ---\n{log[-4000:]}") from error
            yield running


def _envoy_of(pid: int) -> int:
    for child in psutil.Process(pid).children(recursive=True):
        if "envoy" in child.name():
            return child.pid
    raise BenchError(f"process {pid} has started no Envoy")
