"""(j) What do filters cost that are in the chain and switched off?

Envoys with one worker and the same upstream, in pairs that differ only in the filters with
``disabled: true``: FluxGate's own chain with and without them, and a bare chain with and without
many more, since what a few cost is less than the noise of a run. The runs alternate; a ratio is
between runs of the same round.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from bench import configs
from bench.harness import BenchError, free_port, load, median, static_envoy
from fluxgate.api.parse import parse_object
from fluxgate.resources import ResourceStore
from fluxgate.translator import translate
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.static import static_bootstrap

GOAL = 1.01
MANY = 120
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

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Disabled:
    """A chain with ``filters`` that are off; ``ratio`` is its CPU to that of the chain without."""

    chain: str
    filters: int
    cpu_us: float
    ratio: float
    least: float
    greatest: float


def run(*, seconds: int, rounds: int) -> list[Disabled]:
    """Measure both pairs in alternation."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxgate-bench-")))
        up = free_port()
        stack.enter_context(static_envoy(configs.answering_envoy(up), folder, up))
        chains = {"FluxGate's": _gateway(up), "bare": _bare(up)}
        targets: dict[tuple[str, bool], tuple[str, int]] = {}
        for chain, config in chains.items():
            for whole in (False, True):
                port = free_port()
                chosen = _on_port(config if whole else _without_disabled(config), port)
                pid = stack.enter_context(static_envoy(chosen, folder, port))
                targets[chain, whole] = (f"http://127.0.0.1:{port}/x", pid)
        cpu = _alternate(targets, seconds, rounds)
        counts = {chain: sum(map(_is_off, _filters(config))) for chain, config in chains.items()}
    return [
        _row(chain, count, cpu[chain, True], cpu[chain, False]) for chain, count in counts.items()
    ]


def _alternate(
    targets: dict[tuple[str, bool], tuple[str, int]], seconds: int, rounds: int
) -> dict[tuple[str, bool], list[float]]:
    cpu: dict[tuple[str, bool], list[float]] = {name: [] for name in targets}
    for url, pid in targets.values():
        load(url, pid, seconds=1)
    for turn in range(rounds):
        # in both directions in turn, so that none always runs after the same other
        for name in targets if turn % 2 == 0 else reversed(targets):
            measured = load(*targets[name], seconds=seconds)
            if measured.failed:
                raise BenchError(f"{name}: {measured.failed} failed requests")
            cpu[name].append(measured.cpu_us_per_request)
    return cpu


def _row(chain: str, count: int, whole: list[float], without: list[float]) -> Disabled:
    ratios = [one / base for one, base in zip(whole, without, strict=True)]
    return Disabled(chain, count, median(whole), median(ratios), min(ratios), max(ratios))


def _gateway(upstream: int) -> Config:
    """What the xDS server would send for a gateway with one open route."""
    store = ResourceStore()
    documents = (
        configs.gateway_config(8080),
        configs.upstream("pool", upstream),
        configs.route("open", "/", "pool"),
    )
    for each in documents:
        store.upsert(parse_object(each))
    (gateway,) = translate(store.freeze()).gateways.values()
    bootstrap = static_bootstrap(build_snapshot(gateway))
    config: Config = json_format.MessageToDict(bootstrap, preserving_proto_field_name=True)
    return config


def _bare(upstream: int) -> Config:
    route: dict[str, object] = {"match": {"prefix": "/"}, "route": {"cluster": "up"}}
    config: Config = configs.static_envoy(0, [route], upstream_port=upstream)
    chosen = [_KINDS[index % len(_KINDS)] for index in range(MANY)]
    _filters(config)[:0] = [
        {
            "name": f"disabled-{index}",
            "disabled": True,
            "typed_config": {"@type": f"{_HTTP}.{kind}", **fields},
        }
        for index, (kind, fields) in enumerate(chosen)
    ]
    return config


def _filters(config: Config) -> list[Config]:
    """The HTTP filters of the first listener."""
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    filters: list[Config] = chain["filters"][0]["typed_config"]["http_filters"]
    return filters


def _is_off(http_filter: Config) -> bool:
    return bool(http_filter.get("disabled"))


def _on_port(config: Config, port: int) -> Config:
    """A copy whose first listener has a port; the others, which nobody asks, take any."""
    listeners = [*config["static_resources"]["listeners"]]
    listeners[0] = {**listeners[0], "address": configs.socket_address(port)}
    resources = {**config["static_resources"], "listeners": listeners}
    return {**config, "static_resources": resources}


def _without_disabled(config: Config) -> Config:
    copy: Config = json.loads(json.dumps(config))
    filters = _filters(copy)
    filters[:] = [each for each in filters if not _is_off(each)]
    for routes in _route_tables(copy):
        routes.pop("typed_per_filter_config", None)
    return copy


def _route_tables(config: Config) -> list[Config]:
    """Whatever may configure a filter that is not there any more."""
    (chain,) = config["static_resources"]["listeners"][0]["filter_chains"]
    table = chain["filters"][0]["typed_config"]["route_config"]
    hosts = table["virtual_hosts"]
    return [table, *hosts, *(route for host in hosts for route in host.get("routes", ()))]
