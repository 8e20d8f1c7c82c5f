"""What Envoy rejects is set aside and says so; everything else is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.standalone import API, GATEWAY, RunningGateway, route, running_gateway
from support.upstream import EchoUpstream

from fluxgate.status import Condition, Reason
from fluxgate.translator import upstreams

pytestmark = pytest.mark.envoy

TOO_COMPLEX = '{type: Regex, value: "/((a|b){300}|(c|d){300})z"}'


async def rejected(gateway: RunningGateway, kind: str, name: str) -> Condition:
    def found() -> Condition | None:
        condition = gateway.programmed(kind, name)
        return condition if condition and condition.reason is Reason.ENVOY_REJECTED else None

    await gateway.until(found)
    condition = found()
    assert condition is not None
    return condition


@pytest.fixture
def lax_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Translation hands a connect timeout of zero on, as it would a mistake we do not know of."""
    monkeypatch.setattr(upstreams, "_problems", lambda _: [])


def upstream(name: str, field: str) -> str:
    return (
        API + f"kind: Upstream\nmetadata: {{name: {name}}}\nspec:\n"
        f"  targets: [{{host: 127.0.0.1, port: 9}}]\n  {field}\n"
    )


def to_upstream(name: str, target: str) -> str:
    text = route(name, f"/{name}", 9)
    return text.replace('url: "http://127.0.0.1:9"', f"kind: Upstream, name: {target}")


@pytest.mark.parametrize(
    ("documents", "culprit", "words"),
    [
        pytest.param(
            route("bad", TOO_COMPLEX, 9),
            ("Route", "bad"),
            "RE2 program size of 1808",
            id="a regular expression that is too complex",
        ),
        pytest.param(
            to_upstream("bad", "pool") + "---\n" + upstream("pool", "connectTimeout: 0s"),
            ("Upstream", "pool"),
            "ConnectTimeout: value must be greater than 0s",
            id="a connect timeout of zero",
        ),
    ],
)
@pytest.mark.usefixtures("lax_translation")
async def test_the_culprit_is_named_with_envoys_words_and_the_rest_is_served(
    gateway: RunningGateway,
    echo: EchoUpstream,
    documents: str,
    culprit: tuple[str, str],
    words: str,
) -> None:
    gateway.write("new.yaml", documents + "---\n" + route("good", "/good", echo.port))

    condition = await rejected(gateway, *culprit)
    assert words in condition.message
    await gateway.served("Route", "good")
    assert (await gateway.get("/good")).status == 200
    assert (await gateway.get("/echo")).status == 200


async def test_a_repaired_object_comes_back_by_itself(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    gateway.write("new.yaml", route("bad", TOO_COMPLEX, echo.port))
    await rejected(gateway, "Route", "bad")

    gateway.write("new.yaml", route("bad", '{type: Regex, value: "/(a|b)+z"}', echo.port))
    await gateway.served("Route", "bad")

    assert (await gateway.get("/abz")).status == 200
    assert gateway.gateway.reconciler.set_aside == {}


async def test_two_culprits_at_once_are_both_found(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    many = [route(f"good-{n}", f"/good-{n}", echo.port) for n in range(20)]
    many.insert(4, route("bad-one", TOO_COMPLEX, echo.port))
    many.insert(14, route("bad-two", TOO_COMPLEX.replace("z", "y"), echo.port))
    gateway.write("new.yaml", "---\n".join(many))

    await rejected(gateway, "Route", "bad-one")
    await rejected(gateway, "Route", "bad-two")
    for number in range(20):
        await gateway.served("Route", f"good-{number}")
    assert {ref.name for ref in gateway.gateway.reconciler.set_aside} == {"bad-one", "bad-two"}


@pytest.mark.usefixtures("lax_translation")
async def test_culprits_of_two_types_at_once_are_both_found(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    gateway.write("a.yaml", route("bad", TOO_COMPLEX, echo.port))
    gateway.write(
        "b.yaml", to_upstream("other", "pool") + "---\n" + upstream("pool", "connectTimeout: 0s")
    )

    await rejected(gateway, "Route", "bad")
    await rejected(gateway, "Upstream", "pool")
    assert (await gateway.get("/echo")).status == 200


async def test_a_gateway_that_starts_with_a_culprit_serves_the_rest(
    tmp_path: Path, echo: EchoUpstream
) -> None:
    files = {
        "gateway.yaml": GATEWAY,
        "a.yaml": route("bad", TOO_COMPLEX, echo.port),
        "b.yaml": route("echo", "/echo", echo.port),
    }
    async with running_gateway(tmp_path, files) as gateway:
        assert (await gateway.get("/echo")).status == 200
        await rejected(gateway, "Route", "bad")


async def test_what_fails_only_at_run_time_is_said_on_the_gateway_and_the_rest_is_served(
    gateway: RunningGateway, echo: EchoUpstream
) -> None:
    broken = GATEWAY.replace("{enabled: false}", "{path: /nowhere/at/all.log}")
    gateway.write("gateway.yaml", broken)
    condition = await rejected(gateway, "GatewayConfig", "main")
    assert "unable to open file '/nowhere/at/all.log'" in condition.message

    gateway.write("new.yaml", route("new", "/new", echo.port))
    async with asyncio.timeout(60):
        while (await gateway.get("/new")).status != 200:
            pass
    gateway.write("gateway.yaml", GATEWAY)
    await gateway.served("GatewayConfig", "main")
