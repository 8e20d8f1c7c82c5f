"""``wasm``, run by V8 in the real Envoy, with modules assembled here."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import wasm_modules
from support.callers import api_key, by_key
from support.documents import CLOSED, Document, Documents, gateway, obj, route, secret
from support.upstream import EchoUpstream

from fluxgate.status import Reason

pytestmark = pytest.mark.envoy


def inline(code: bytes, **config: Any) -> Document:
    return {"wasm": {"module": {"inline": base64.b64encode(code).decode()}, **config}}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def guarded() -> Iterator[EchoUpstream]:
    with EchoUpstream("guarded") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(
    echo: EchoUpstream, guarded: EchoUpstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Documents]:
    file: Path = tmp_path_factory.mktemp("wasm") / "stamp.wasm"
    file.write_bytes(wasm_modules.stamping())
    configuration = {"configuration": {"greeting": "hi"}}
    documents = (
        gateway(extensions={"allow": ["wasm"]}),
        obj("Tenant", "acme", {}),
        api_key("caller", tenant="acme"),
        secret("modules", {"stamp.wasm": wasm_modules.stamping(), "text": "no module"}),
        route("inline", echo.port, inline(wasm_modules.stamping(), **configuration)),
        route("second", echo.port, inline(wasm_modules.stamping(), **configuration)),
        route("unconfigured", echo.port, inline(wasm_modules.stamping())),
        route("plain", echo.port),
        route("file", echo.port, {"wasm": {"module": {"file": str(file)}}}),
        route(
            "secret",
            echo.port,
            {"wasm": {"module": {"secretRef": {"name": "modules"}, "key": "stamp.wasm"}}},
        ),
        route("forge", echo.port, inline(wasm_modules.forging()), auth={"mode": "Required"}),
        route("forge-open", echo.port, inline(wasm_modules.forging())),
        route("reroute", echo.port, inline(wasm_modules.rerouting())),
        route(
            "same",
            echo.port,
            inline(wasm_modules.rerouting()),
            path="/",
            hosts=["same.example.com"],
        ),
        route("guarded", guarded.port, auth={"mode": "Required"}),
        route("call", echo.port, inline(wasm_modules.calling())),
        route("crash", echo.port, inline(wasm_modules.crashing())),
        route("crash-open", echo.port, inline(wasm_modules.crashing(), failureMode="Open")),
        route("text", echo.port, inline(b"no module")),
        route("no-base64", echo.port, {"wasm": {"module": {"inline": "%%"}}}),
        route(
            "secret-text",
            echo.port,
            {"wasm": {"module": {"secretRef": {"name": "modules"}, "key": "text"}}},
        ),
        route("no-secret", echo.port, {"wasm": {"module": {"secretRef": {"name": "nowhere"}}}}),
        route("two-places", echo.port, {"wasm": {"module": {"file": "/a", "inline": "AGFzbQ=="}}}),
    )
    with Documents(*documents) as running:
        yield running


@pytest.mark.parametrize("path", ["/inline", "/file", "/secret", "/second"])
def test_a_module_changes_requests_and_answers(served: Documents, path: str) -> None:
    answer = served.get(path)
    assert answer.echoed("x-wasm") == ["seen"]
    assert answer.header("x-wasm") == "seen"


def test_other_routes_know_nothing_of_it(served: Documents) -> None:
    answer = served.get("/plain")
    assert answer.echoed("x-wasm") == []
    assert answer.header("x-wasm") is None


def test_a_module_gets_its_configuration_as_json(served: Documents) -> None:
    assert served.get("/inline").echoed("x-configured") == ['{"greeting":"hi"}']


def test_policies_with_the_same_module_share_no_state(served: Documents) -> None:
    served.get("/unconfigured")
    assert served.get("/inline").echoed("x-configured") == ['{"greeting":"hi"}']
    assert served.get("/unconfigured").echoed("x-configured") == [""]


def test_a_module_cannot_say_who_is_calling(served: Documents) -> None:
    assert served.get("/forge", by_key("caller")).echoed("x-tenant-id") == ["acme"]
    assert served.get("/forge-open").echoed("x-tenant-id") == []


def test_a_module_runs_only_after_authentication(served: Documents) -> None:
    answer = served.get("/forge")
    assert answer.status == 401


def test_a_module_cannot_lead_a_request_to_another_route(
    served: Documents, guarded: EchoUpstream
) -> None:
    guarded.clear()
    assert served.get("/guarded").status == 401
    answer = served.get("/reroute")
    assert (answer.status, answer.json()["error"]) == (500, "internal_error")
    assert guarded.requests == []


def test_a_module_may_change_the_path_where_the_route_stays_the_same(served: Documents) -> None:
    answer = served.get("/anything", [("host", "same.example.com")])
    assert answer.status == 200, answer
    assert answer.json()["path"] == "/guarded"


def test_a_module_cannot_call_out(served: Documents) -> None:
    # the host does not even look whether there is such a cluster, which would be 2
    assert served.get("/call").echoed("x-called") == ["a"]


def test_a_module_that_crashes_closes_the_route(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    assert [served.get("/crash").status for _ in range(2)] == [CLOSED] * 2
    assert echo.requests == []
    assert served.get("/inline").status == 200


def test_failure_mode_open_goes_on_without_the_crashed_module(served: Documents) -> None:
    statuses = [served.get("/crash-open").status for _ in range(3)]
    assert statuses[1:] == [200, 200]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("text", "config.module.inline: is not a WebAssembly module"),
        ("no-base64", "config.module.inline: is not base64"),
        ("secret-text", "config.module.secretRef: is not a WebAssembly module"),
        ("two-places", "config.module: give exactly one of"),
    ],
)
def test_a_malformed_module_is_named_and_closes_the_route(
    served: Documents, name: str, words: str
) -> None:
    assert words in served.condition("Route", name).message
    assert served.get(f"/{name}").status == CLOSED


def test_a_secret_that_is_not_there_closes_the_route(served: Documents) -> None:
    condition = served.condition("Route", "no-secret", "ResolvedRefs")
    assert condition.reason is Reason.REF_NOT_FOUND
    assert served.get("/no-secret").status == CLOSED


def test_without_the_operators_word_no_module_runs(echo: EchoUpstream) -> None:
    documents = (gateway(), route("inline", echo.port, inline(wasm_modules.stamping())))
    with Documents(*documents) as closed:
        condition = closed.condition("Route", "inline", "ResolvedRefs")
        assert "spec.extensions.allow" in condition.message
        assert closed.get("/inline").status == CLOSED
