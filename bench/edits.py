"""(d) Does a request fail while routes are edited under load?

Constant load on two routes: one that no edit touches, and one whose priority and
upstream change all the time. Meanwhile 200 edits: routes are added, removed and
reordered, and the loaded route moves between two upstreams. Each edit waits for
the proof that every node serves it.
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import configs
from bench.harness import RunningGateway, free_port, gateway, parse_wrk, require, static_envoy

SCRIPT = """
local paths = {"/steady/x", "/moving/x"}
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", paths[n % #paths + 1])
end
"""


@dataclass(frozen=True, slots=True)
class Edits:
    """What happened to the load while the edits were made."""

    edits: int
    requests: int
    failed: int
    rps: float
    p99_ms: float


def run(*, edits: int, table: int) -> Edits:
    """Make ``edits`` edits to a table of ``table`` routes under load."""
    with tempfile.TemporaryDirectory(prefix="fluxgate-bench-") as scratch:
        folder, ups = Path(scratch), (free_port(), free_port())
        script = folder / "paths.lua"
        script.write_text(SCRIPT)
        files: dict[str, list[object]] = {
            "gateway.yaml": [
                configs.gateway_config(8080),
                *(configs.upstream(f"pool{i}", port) for i, port in enumerate(ups)),
            ],
            "steady.yaml": [configs.route("steady", "/steady", "pool0")],
            "moving.yaml": [configs.route("moving", "/moving", "pool0")],
            "table.yaml": [configs.route(f"r{i:05d}", f"/r/{i}", "pool0") for i in range(table)],
        }
        with (
            static_envoy(configs.answering_envoy(ups[0]), folder, ups[0]),
            static_envoy(configs.answering_envoy(ups[1]), folder, ups[1]),
            gateway(files) as running,
        ):
            return _under_load(running, script, edits)


def _under_load(running: RunningGateway, script: Path, edits: int) -> Edits:
    command = [require("wrk", "wrk"), "-t1", "-c16", "-d600s", "--latency", "-s", str(script)]
    child = subprocess.Popen([*command, running.url], stdout=subprocess.PIPE, text=True)
    try:
        for number in range(edits):
            _edit(running, number)
            running.wait()
    finally:
        child.send_signal(2)
        output = child.communicate(timeout=30)[0]
    requests, rps, _p50, p99, failed = parse_wrk(output)
    return Edits(edits, requests, failed, rps, p99)


def _edit(running: RunningGateway, number: int) -> None:
    """The edits take turns: add, reorder, move to the other upstream, remove."""
    step, kind = divmod(number, 4)
    extra = f"extra{step:03d}"
    pool = f"pool{step % 2}"
    if kind == 0:
        running.write(f"{extra}.yaml", configs.route(extra, f"/moving/{extra}", "pool1"))
    elif kind == 1:
        priority = 10 if step % 2 else 0
        running.write("moving.yaml", configs.route("moving", "/moving", pool, priority=priority))
    elif kind == 2:
        other = f"pool{(step + 1) % 2}"
        running.write("moving.yaml", configs.route("moving", "/moving", other))
    else:
        (running.config / f"{extra}.yaml").unlink()
