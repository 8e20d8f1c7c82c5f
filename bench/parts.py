"""What single steps of the pipeline cost: each is repeated many times over in one request.

python -m bench.parts [--seconds 1] [--rounds 5]

A step costs tens of nanoseconds, less than two runs of the same thing differ. So a
listener whose script calls Envoy forty times over, or whose log line holds a field
forty times, is compared with one without. All listeners are in one Envoy; runs alternate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from envoy.extensions.access_loggers.stream.v3 import stream_pb2 as stream_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from support.envoy import EnvoyProcess
from support.gateway import cluster, forward, gateway, route
from support.keygateway import api_key

from bench import configs, report
from bench.harness import free_port, load, median
from fluxgate.ir import AccessLogIR, KeyAuth
from fluxgate.xds import names
from fluxgate.xds.access_log import FIELDS
from fluxgate.xds.build import build_snapshot
from fluxgate.xds.proto import any_of
from fluxgate.xds.static import static_bootstrap

TIMES = 40
KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1a00000"
Change = Callable[[hcm_v3.HttpConnectionManager], None]

_FROM_CALLER = f"%DYNAMIC_METADATA({names.AUTH_METADATA}:key_id)%"
LOG_FIELDS = {
    **FIELDS,
    "one value of caller": _FROM_CALLER,
    "an identity header": "%REQ(X-AUTH-KEY-ID)%",
}
LUA_STEPS = {
    "get a header that is absent": "headers:get('x-absent')",
    "get the path": "headers:get(':path')",
    "get a header that is there": "headers:get('apikey')",
    "set a header": "headers:replace('x-auth-key-id', 'default/bench')",
    "remove an absent header": "headers:remove('x-absent')",
    "get the route's policy": "handle:filterContext():get('policy')",
    "set one value of metadata": "handle:streamInfo():dynamicMetadata()"
    f":set('{names.AUTH_METADATA}', 'key_id', 'default/bench')",
}


class _Upstream:
    host = "127.0.0.1"

    def __init__(self, port: int) -> None:
        self.port = port


def _unchanged(_: hcm_v3.HttpConnectionManager) -> None:
    """The listener as the gateway builds it, but without an access log."""


def _logging(operator: str) -> Change:
    def change(manager: hcm_v3.HttpConnectionManager) -> None:
        log = stream_v3.StdoutAccessLog()
        log.log_format.json_format.update({f"f{index}": operator for index in range(TIMES)})
        manager.access_log.add(name="envoy.access_loggers.stdout", typed_config=any_of(log))

    return change


def _script(body: str) -> Change:
    """Replace the key check; an empty ``body`` is a script that does nothing."""
    source = f"function envoy_on_request(handle)\nlocal headers = handle:headers()\n{body}\nend\n"

    def change(manager: hcm_v3.HttpConnectionManager) -> None:
        entry = next(each for each in manager.http_filters if each.name == names.API_KEY_FILTER)
        script = lua_v3.Lua()
        script.default_source_code.inline_string = source
        entry.typed_config.CopyFrom(any_of(script))

    return change


def _bootstrap(upstream: int, changes: dict[str, Change]) -> bootstrap_v3.Bootstrap:
    """One Envoy with a listener for each change."""
    routes = (
        route("/key", forward("up"), key_auth=KeyAuth()),
        route("/", forward("up")),
    )
    key = api_key(KEY, "default/bench", workspace="default", tenant="acme")
    # as with a log, for whose sake the script names the caller; each listener has its own
    served = gateway(
        routes, (cluster("up", _Upstream(upstream)),), keys=(key,), access_log=AccessLogIR()
    )
    bootstrap = static_bootstrap(build_snapshot(served))
    template = bootstrap.static_resources.listeners.pop()
    for name, change in changes.items():
        listener = bootstrap.static_resources.listeners.add()
        listener.CopyFrom(template)
        listener.name = name
        (network_filter,) = listener.filter_chains[0].filters
        manager = hcm_v3.HttpConnectionManager()
        network_filter.typed_config.Unpack(manager)
        manager.ClearField("access_log")
        change(manager)
        network_filter.typed_config.CopyFrom(any_of(manager))
    return bootstrap


def run(*, seconds: int, rounds: int) -> list[tuple[str, str, int]]:
    """Step, what it is a step of, and its median cost in nanoseconds."""
    scripts = {name: _script("\n".join([step] * TIMES)) for name, step in LUA_STEPS.items()}
    logs = {name: _logging(operator) for name, operator in LOG_FIELDS.items()}
    changes = {
        "open": _unchanged,
        "nothing": _script(""),
        "constant": _logging("-"),
    }
    changes |= scripts | logs
    upstream = free_port()
    with (
        EnvoyProcess(configs.answering_envoy(upstream)),
        EnvoyProcess(_bootstrap(upstream, changes)) as envoy,
    ):
        urls = {
            name: f"http://127.0.0.1:{envoy.port(name)}/" + ("x" if name == "open" else "key/x")
            for name in changes
        }
        cpu: dict[str, list[float]] = {name: [] for name in changes}
        for _ in range(rounds):
            for name, url in urls.items():
                one = load(url, envoy.pid, seconds=seconds, headers=[f"apikey: {KEY}"])
                cpu[name].append(one.cpu_us_per_request)

    def cost(name: str, without: str, times: int) -> int:
        return round((median(cpu[name]) - median(cpu[without])) / times * 1000)

    rows = [("calling a script that does nothing", "key check", cost("nothing", "open", 1))]
    rows += [(name, "key check", cost(name, "nothing", TIMES)) for name in scripts]
    return rows + [(name, "access log", cost(name, "constant", TIMES)) for name in logs]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    rows = [
        (part, step, f"{cost:,}")
        for step, part, cost in run(seconds=given.seconds, rounds=given.rounds)
    ]
    print(report.table(("part", "step", "CPU ns"), rows))


if __name__ == "__main__":
    main()
