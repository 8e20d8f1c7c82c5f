"""One bad Plugin among good ones: it is blamed in Envoy's words, and everything else is served."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import wasm_modules
from support.documents import CLOSED, Document, obj
from support.documents import route as written
from support.standalone import GATEWAY, RunningGateway, route, running_gateway
from support.upstream import EchoUpstream

from fluxgate.resources import ObjectRef
from fluxgate.status import Condition, Reason

pytestmark = pytest.mark.envoy

ADMITTING = GATEWAY + "  extensions: {allow: [lua, wasm, envoy-patch]}\n"
MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"


def plugin(name: str, kind: str, config: Document, **spec: Any) -> Document:
    return obj("Plugin", name, {"type": kind, "config": config, **spec})


def lua(name: str, source: str, **spec: Any) -> Document:
    return plugin(name, "lua", {"source": source}, **spec)


def wasm(name: str, code: bytes) -> Document:
    return plugin(name, "wasm", {"module": {"inline": base64.b64encode(code).decode()}})


def patch(name: str, config: Document) -> Document:
    filters = [{"name": "x", "typedConfig": {"@type": MUTATION, **config}}]
    return plugin(name, "envoy-patch", {"filters": filters})


def stamping(value: str) -> str:
    return f'function envoy_on_response(h) h:headers():add("x-stamp", "{value}") end'


def using(name: str, port: int, *plugins: str) -> Document:
    return written(name, port, plugins=[{"name": each} for each in plugins])


@pytest.fixture
async def echo() -> AsyncIterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture
async def gateway(tmp_path: Path, echo: EchoUpstream) -> AsyncIterator[RunningGateway]:
    files = {"gateway.yaml": ADMITTING, "echo.yaml": route("echo", "/echo", echo.port)}
    async with running_gateway(tmp_path, files) as running:
        yield running


def write(gateway: RunningGateway, *documents: Document) -> None:
    gateway.write("new.yaml", yaml.safe_dump_all(documents))


async def rejected(gateway: RunningGateway, name: str) -> Condition:
    def found() -> Condition | None:
        condition = gateway.programmed("Plugin", name)
        return condition if condition and condition.reason is Reason.ENVOY_REJECTED else None

    await gateway.until(found)
    condition = found()
    assert condition is not None
    return condition


BAD = [
    pytest.param(
        lua("bad", "function envoy_on_request(handle) end end"), "'<eof>' expected", id="lua"
    ),
    pytest.param(
        lua("bad", 'error("not today")\nfunction envoy_on_request() end'), "not today", id="load"
    ),
    pytest.param(lua("bad", "local x = 1"), "defines neither", id="no hook"),
    pytest.param(wasm("bad", wasm_modules.without_abi()), "ABI", id="wasm"),
    pytest.param(
        wasm("bad", wasm_modules.refusing_its_configuration()), "configur", id="wasm configuration"
    ),
    pytest.param(
        plugin("bad", "wasm", {"module": {"file": "/nowhere/module.wasm"}}),
        "/nowhere/module.wasm",
        id="wasm file",
    ),
    pytest.param(patch("bad", {"mutation": {}}), "mutation", id="patch"),
    pytest.param(
        plugin(
            "bad",
            "envoy-patch",
            {
                "route": {
                    "route": {
                        "retryPolicy": {"retryOn": "5xx", "retryBackOff": {"maxInterval": "1s"}}
                    }
                }
            },
        ),
        "BaseInterval",
        id="fragment",
    ),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
async def test_the_plugin_is_blamed_in_envoys_words_and_never_served(
    gateway: RunningGateway, echo: EchoUpstream, bad: Document, words: str
) -> None:
    good = [lua(f"good-{n}", stamping(str(n))) for n in range(4)]
    routes = [using(f"good-{n}", echo.port, f"good-{n}") for n in range(4)]
    write(gateway, *good, bad, *routes, using("bad", echo.port, "bad"))

    condition = await rejected(gateway, "bad")
    assert words in condition.message
    for number in range(4):
        await gateway.served("Route", f"good-{number}")
        assert (await gateway.get(f"/good-{number}")).header("x-stamp") == str(number)
    assert (await gateway.get("/echo")).status == 200
    assert (await gateway.get("/bad")).status == CLOSED
    assert set(gateway.gateway.reconciler.set_aside) == {ObjectRef("Plugin", "default", "bad")}
    # tried before it was published: no Envoy ever had to reject it
    assert not [
        state
        for node in gateway.gateway.status().nodes
        for state in node.types.values()
        if state.nack is not None
    ]


async def test_a_script_that_never_ends_is_set_aside_before_it_holds_up_envoy(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    files = {"gateway.yaml": ADMITTING, "echo.yaml": route("echo", "/echo", echo.port)}
    async with running_gateway(tmp_path, files, validate_seconds=5.0) as gateway:
        endless = "while true do end\nfunction envoy_on_request() end"
        write(gateway, lua("bad", endless), using("bad", echo.port, "bad"))
        condition = await rejected(gateway, "bad")
        assert "did not answer" in condition.message
        assert (await gateway.get("/echo")).status == 200


async def test_a_plugin_for_every_route_closes_them_and_is_the_only_one_blamed(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    everywhere = [{"kind": "GatewayConfig", "name": "main"}]
    own = written("own", echo.port, {"lua": {"source": stamping("own")}})
    write(gateway, lua("bad", "end", targets=everywhere), own)

    await rejected(gateway, "bad")
    await gateway.served("Route", "own")
    assert (await gateway.get("/own")).header("x-stamp") == "own"
    assert (await gateway.get("/echo")).status == CLOSED
    assert set(gateway.gateway.reconciler.set_aside) == {ObjectRef("Plugin", "default", "bad")}


async def test_an_inline_policy_blames_its_route(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    good = lua("good", stamping("good"))
    inline = written("bad", echo.port, {"lua": {"source": "end"}})
    write(gateway, good, inline, using("good", echo.port, "good"))

    def blamed() -> bool:
        condition = gateway.programmed("Route", "bad")
        return condition is not None and condition.reason is Reason.ENVOY_REJECTED

    await gateway.until(blamed)
    await gateway.served("Route", "good")
    assert (await gateway.get("/good")).header("x-stamp") == "good"


async def test_several_bad_plugins_are_all_found(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    names = ["one", "two", "three"]
    bad = [lua(name, f"-- {name}\nend") for name in names]
    good = lua("good", stamping("good"))
    routes = [using(name, echo.port, name) for name in [*names, "good"]]
    write(gateway, *bad, good, *routes)

    for name in names:
        await rejected(gateway, name)
    await gateway.served("Route", "good")
    assert (await gateway.get("/good")).status == 200


async def test_a_plugin_that_becomes_bad_closes_its_routes_and_comes_back_repaired(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    user = using("user", echo.port, "mine")
    write(gateway, lua("mine", stamping("first")), user)
    await gateway.served("Route", "user")
    assert (await gateway.get("/user")).header("x-stamp") == "first"

    write(gateway, lua("mine", "end"), user)
    await rejected(gateway, "mine")
    async with asyncio.timeout(60):
        while (await gateway.get("/user")).status != CLOSED:
            pass

    write(gateway, lua("mine", stamping("second")), user)
    await gateway.served("Plugin", "mine")
    assert (await gateway.get("/user")).header("x-stamp") == "second"
    assert gateway.gateway.reconciler.set_aside == {}


async def test_a_gateway_that_starts_with_a_bad_plugin_serves_the_rest(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    documents = [lua("bad", "end"), using("bad", echo.port, "bad")]
    files = {
        "gateway.yaml": ADMITTING,
        "bad.yaml": yaml.safe_dump_all(documents),
        "echo.yaml": route("echo", "/echo", echo.port),
    }
    async with running_gateway(tmp_path, files) as gateway:
        assert (await gateway.get("/echo")).status == 200
        await rejected(gateway, "bad")
