"""(i) What do common chains of policies cost, beside a bare Envoy and beside nginx?

One gateway with one worker serves a route for each chain, configured as users would; a bare
Envoy and an nginx with one worker each serve the same upstream. The runs alternate, and every
request of every run has to be answered with 200.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from bench import configs
from bench.harness import BenchError, Load, fluxgate, free_port, gateway, load, median, static_envoy
from bench.limiter import limiter
from bench.nginx import running_nginx

BARE = "bare Envoy"
_ISSUER = "https://id.example.com/"
_AUDIENCE = "https://api.example.com"
_ORIGIN = "https://app.example.com"
_MANY = 100_000_000


@dataclass(frozen=True, slots=True)
class Chain:
    """One proxy doing one chain; ``ratio`` is its CPU per request relative to the bare Envoy's."""

    chain: str
    proxy: str
    cpu_us: float
    ratio: float
    rps: float
    p99_ms: float
    p99_ratio: float
    failed: int


@dataclass(frozen=True, slots=True)
class _Target:
    chain: str
    proxy: str
    url: str
    pid: int
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Callers:
    """A key and a token, and what the gateway needs to know of them."""

    key: str
    key_document: Mapping[str, Any]
    token: str
    key_set: str

    @property
    def with_key(self) -> tuple[str, ...]:
        """The headers of a caller with a key."""
        return (f"apikey: {self.key}",)

    @property
    def with_token(self) -> tuple[str, ...]:
        """The headers of a page's script with a token."""
        return (f"authorization: Bearer {self.token}", f"origin: {_ORIGIN}")


def run(*, seconds: int, rounds: int) -> list[Chain]:
    """Measure every chain of every proxy in alternation, and relate them to the bare Envoy."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fluxgate-bench-")))
        callers, up, bare_port, nginx_port = _callers(folder), *(free_port() for _ in range(3))
        stack.enter_context(static_envoy(configs.answering_envoy(up), folder, up))
        route: dict[str, object] = {"match": {"prefix": "/"}, "route": {"cluster": "up"}}
        bare = configs.static_envoy(bare_port, [route], upstream_port=up)
        bare_pid = stack.enter_context(static_envoy(bare, folder, bare_port))
        nginx_pid = stack.enter_context(running_nginx(folder, nginx_port, up, callers.key))
        xds_port = free_port()
        service = stack.enter_context(limiter(folder, xds_port))
        served = stack.enter_context(gateway(_files(up, callers, service.url), xds_port=xds_port))
        service.start()
        targets = [
            _Target("none", BARE, f"http://127.0.0.1:{bare_port}/x", bare_pid),
            *_ours(served.url, served.envoy_pid, callers),
            *_nginx(f"http://127.0.0.1:{nginx_port}", nginx_pid, callers),
        ]
        return _measure(targets, seconds, rounds)


def _ours(url: str, pid: int, callers: _Callers) -> Iterator[_Target]:
    key, token = callers.with_key, callers.with_token
    for chain, path, headers in (
        ("none", "open", ()),
        ("key", "key", key),
        ("key, limit", "limit", key),
        ("key, redis limit", "redis", key),
        ("jwt", "jwt", token),
        ("jwt, remembered", "remembered", token),
        ("jwt, limit, cors, transform", "full", token),
    ):
        yield _Target(chain, "FluxGate", f"{url}/{path}/x", pid, headers)


def _nginx(url: str, pid: int, callers: _Callers) -> Iterator[_Target]:
    for chain, path, headers in (
        ("none", "open", ()),
        ("key", "key", callers.with_key),
        ("key, limit", "limit", callers.with_key),
    ):
        yield _Target(chain, "nginx", f"{url}/{path}/x", pid, headers)


def _callers(folder: Path) -> _Callers:
    keys = folder / "keys"
    keys.mkdir()
    made = fluxgate(
        "api-keys", "create", "--name", "bench", "--plan", "huge", "--config", str(keys)
    )
    document = yaml.safe_load((keys / "api-keys" / "bench.yaml").read_text())
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = int(time.time())
    claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "bench", "exp": now + 86_400}
    public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True)
    return _Callers(
        key=made.strip().splitlines()[-1],
        key_document=document,
        token=jwt.encode(claims, private, "RS256", {"kid": "main"}),
        key_set=json.dumps({"keys": [{**public, "kid": "main", "alg": "RS256", "use": "sig"}]}),
    )


def _files(up: int, callers: _Callers, service: str) -> dict[str, list[object]]:
    plan = {"name": "huge", "requests": _MANY, "window": "1m", "burst": _MANY}
    return {
        "gateway.yaml": [
            configs.gateway_config(
                8080,
                plans=[plan],
                rateLimitService={"url": service, "timeout": "5s", "failureMode": "Closed"},
            ),
            configs.upstream("pool", up),
            callers.key_document,
        ],
        "routes.yaml": [
            configs.route("open", "/open", "pool"),
            configs.route("key", "/key", "pool", auth={"mode": "Required"}),
            configs.route(
                "limit",
                "/limit",
                "pool",
                auth={"mode": "Required"},
                rateLimit={"plan": "huge"},
            ),
            configs.route(
                "redis",
                "/redis",
                "pool",
                auth={"mode": "Required"},
                plugins=[{"type": "rate-limit", "config": _counted_by_redis()}],
            ),
            configs.route("jwt", "/jwt", "pool", plugins=[_jwt(callers)]),
            configs.route(
                "remembered", "/remembered", "pool", plugins=[_jwt(callers, cachedTokens=1000)]
            ),
            configs.route("full", "/full", "pool", plugins=_full(callers)),
        ],
    }


def _counted_by_redis() -> dict[str, object]:
    return {"requests": _MANY, "window": "24h", "policy": "Redis"}


def _jwt(callers: _Callers, **more: object) -> dict[str, object]:
    provider = {
        "name": "main",
        "issuer": _ISSUER,
        "audiences": [_AUDIENCE],
        "algorithms": ["RS256"],
        "jwks": {"inline": callers.key_set},
        **more,
    }
    return {"type": "jwt-auth", "config": {"providers": [provider]}}


def _full(callers: _Callers) -> list[dict[str, object]]:
    before = {"headers": {"set": {"x-environment": "production"}, "remove": ["x-debug"]}}
    after = {"headers": {"set": {"cache-control": "no-store"}, "remove": ["x-powered-by"]}}
    return [
        _jwt(callers),
        {"type": "rate-limit", "config": {"requests": _MANY}},
        {"type": "cors", "config": {"allowOrigins": [_ORIGIN]}},
        {"type": "request-transform", "config": before},
        {"type": "response-transform", "config": after},
    ]


def _measure(targets: list[_Target], seconds: int, rounds: int) -> list[Chain]:
    runs: dict[_Target, list[Load]] = {target: [] for target in targets}
    for target in targets:
        _run(target, 1)
    for turn in range(rounds):
        # in both directions in turn, so that none always runs after the same other
        for target in targets if turn % 2 == 0 else reversed(targets):
            runs[target].append(_run(target, seconds))
    bare = runs[targets[0]]
    return [_row(target, measured, bare) for target, measured in runs.items()]


def _run(target: _Target, seconds: int) -> Load:
    measured = load(target.url, target.pid, seconds=seconds, headers=target.headers)
    if measured.failed:
        what = f"{target.proxy}, {target.chain}"
        raise BenchError(f"{what}: {measured.failed} of {measured.requests} requests failed")
    return measured


def _row(target: _Target, measured: list[Load], bare: list[Load]) -> Chain:
    pairs = list(zip(measured, bare, strict=True))
    return Chain(
        target.chain,
        target.proxy,
        median([one.cpu_us_per_request for one in measured]),
        median([one.cpu_us_per_request / base.cpu_us_per_request for one, base in pairs]),
        median([one.rps for one in measured]),
        median([one.p99_ms for one in measured]),
        median([one.p99_ms / base.p99_ms for one, base in pairs]),
        sum(one.failed for one in measured),
    )
