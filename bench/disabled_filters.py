"""What filters cost that are in the chain and switched off.

Bare Envoys with one worker and the same upstream, which differ only in how many HTTP filters
with ``disabled: true`` stand before the router. The runs alternate; a ratio is to the run of the
bare chain in the same round.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import configs
from bench.harness import BenchError, free_port, load, median, static_envoy

COUNTS = (0, 30, 120)
"""More than any chain of ours has, since one alone costs less than the noise of a run."""
_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_KINDS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("cors.v3.Cors", {}),
    ("jwt_authn.v3.JwtAuthentication", {}),
    ("rbac.v3.RBAC", {}),
    ("local_ratelimit.v3.LocalRateLimit", {"stat_prefix": "limit"}),
    ("header_mutation.v3.HeaderMutation", {}),
    ("fault.v3.HTTPFault", {}),
    ("buffer.v3.Buffer", {"max_request_bytes": 1024}),
    ("set_metadata.v3.Config", {}),
    ("lua.v3.Lua", {}),
    ("grpc_web.v3.GrpcWeb", {}),
)
"""One after another until there are enough; a kind may come several times."""


@dataclass(frozen=True, slots=True)
class Disabled:
    """``cpu_us`` a request, and the median and the extremes of its ratio to the bare chain's."""

    filters: int
    cpu_us: float
    ratio: float
    least: float
    greatest: float


def _chain(count: int) -> list[dict[str, Any]]:
    chosen = [_KINDS[index % len(_KINDS)] for index in range(count)]
    return [
        {
            "name": f"disabled-{index}",
            "disabled": True,
            "typed_config": {"@type": f"{_HTTP}.{kind}", **fields},
        }
        for index, (kind, fields) in enumerate(chosen)
    ]


def _envoy(port: int, upstream: int, count: int) -> dict[str, Any]:
    route: dict[str, object] = {"match": {"prefix": "/"}, "route": {"cluster": "up"}}
    config: dict[str, Any] = configs.static_envoy(port, [route], upstream_port=upstream)
    (listener,) = config["static_resources"]["listeners"]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = [*_chain(count), *manager["http_filters"]]
    return config


def run(*, seconds: int, rounds: int, counts: tuple[int, ...] = COUNTS) -> list[Disabled]:
    """Measure every length of the chain in alternation; the first of ``counts`` is the base."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxgate-bench-")))
        up = free_port()
        stack.enter_context(static_envoy(configs.answering_envoy(up), folder, up))
        targets = {}
        for count in counts:
            port = free_port()
            pid = stack.enter_context(static_envoy(_envoy(port, up, count), folder, port))
            targets[count] = (f"http://127.0.0.1:{port}/x", pid)
        for url, pid in targets.values():
            load(url, pid, seconds=1)
        cpu: dict[int, list[float]] = {count: [] for count in counts}
        for turn in range(rounds):
            # in both directions in turn, so that no chain always runs after the same one
            for count in counts if turn % 2 == 0 else reversed(counts):
                measured = load(*targets[count], seconds=seconds)
                if measured.failed:
                    raise BenchError(f"{measured.failed} failed requests with {count} filters")
                cpu[count].append(measured.cpu_us_per_request)
    return [_row(count, cpu[count], cpu[counts[0]]) for count in counts]


def _row(count: int, mine: list[float], bare: list[float]) -> Disabled:
    ratios = [one / base for one, base in zip(mine, bare, strict=True)]
    return Disabled(count, median(mine), median(ratios), min(ratios), max(ratios))
