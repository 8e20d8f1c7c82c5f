"""Plugins, global configuration, dry runs, history, explain and nodes, against a real gateway."""

from __future__ import annotations

import itertools
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin
from support.upstream import EchoUpstream

from fluxgate.translator.plugins import POLICY_TYPES
from fluxgate.xds.httpfilters import ORDER

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
_names = (f"thing-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AdminRun]:
    async with running_admin(tmp_path_factory.mktemp("admin"), {}) as run:
        yield run


@pytest.fixture
def name() -> str:
    return next(_names)


@pytest.fixture
def body(echo: EchoUpstream, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "match": {"path": f"/{name}/*"},
        "upstream": f"http://127.0.0.1:{echo.port}",
        "auth": {"mode": "None"},
    }


async def created(admin: AdminRun, url: str, body: dict[str, Any]) -> str:
    answer = await admin.call("POST", url, body)
    assert answer.status_code == 201, answer.text
    public: str = answer.json()["id"]
    return public


async def newest(admin: AdminRun, kind: str, name: str) -> dict[str, Any]:
    answer = await admin.call("GET", f"/v2/history?kind={kind}&name={name}&limit=1")
    found: dict[str, Any] = answer.json()["data"][0]
    return found


async def test_plugins_are_listed_with_the_order_in_which_envoy_runs_them(admin: AdminRun) -> None:
    found = (await admin.call("GET", "/v2/plugins")).json()
    assert [each["type"] for each in found["execution_order"]] == [
        each.name for each in POLICY_TYPES
    ]
    assert [each["name"] for each in found["filters"]] == [each.filter.name for each in ORDER]
    assert [each["position"] for each in found["filters"]] == list(range(1, len(ORDER) + 1))


async def test_a_shared_plugin_is_configured_while_its_routes_are_served(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    plugin = await created(
        admin,
        "/v2/plugins",
        {"name": name, "type": "direct_response", "config": {"status": 200, "body": "one"}},
    )
    route = await created(admin, "/v2/routes", body | {"plugins": [{"id": plugin}]})
    shown = (await admin.call("GET", f"/v2/routes/{route}")).json()
    assert shown["plugins"] == [{"id": plugin}]
    assert (await admin.gateway.get(f"/{name}/x")).body == b"one"
    answer = await admin.call(
        "PUT",
        f"/v2/plugins/{plugin}/config",
        {"status": 200, "body": "two", "content_type": "text/plain"},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["sync_status"] == "propagated_to_all_nodes"
    assert answer.json()["config"]["contentType"] == "text/plain"
    assert (await admin.gateway.get(f"/{name}/x")).body == b"two"
    config = await admin.call("GET", f"/v2/plugins/{plugin}/config")
    assert config.json() == {"status": 200, "body": "two", "contentType": "text/plain"}
    assert config.headers["etag"] == answer.headers["etag"]


async def test_a_wrong_config_is_refused_with_a_pointer_into_it(admin: AdminRun, name: str) -> None:
    plugin = await created(
        admin, "/v2/plugins", {"name": name, "type": "rate-limit", "config": {"requests": 5}}
    )
    answer = await admin.call("PUT", f"/v2/plugins/{plugin}/config", {"requests": "many"})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["pointer"] == "/requests"
    answer = await admin.call("PUT", f"/v2/plugins/{plugin}/config", {"colour": 1, "requests": 5})
    assert answer.json()["problems"][0]["pointer"] == "/colour"
    answer = await admin.call("POST", "/v2/plugins", {"name": f"{name}-b", "type": "no_such"})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["pointer"] == "/type"


async def test_a_plugin_that_is_used_is_deleted_only_by_force(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    plugin = await created(admin, "/v2/plugins", {"name": name, "type": "cors", "config": {}})
    await created(admin, "/v2/routes", body | {"plugins": [{"id": name}]})
    answer = await admin.call("DELETE", f"/v2/plugins/{plugin}")
    assert answer.status_code == 409
    assert answer.json()["error"] == "in_use"
    assert answer.json()["used_by"] == [f"Route default/{name}"]
    assert (await admin.call("GET", f"/v2/plugins/{plugin}")).status_code == 200
    answer = await admin.call("DELETE", f"/v2/plugins/{plugin}?force=true&wait=none")
    assert answer.status_code == 204, answer.text
    assert (await admin.call("GET", f"/v2/plugins/{plugin}")).status_code == 404


async def test_global_settings_are_shown_with_their_defaults_and_patched(admin: AdminRun) -> None:
    read = await admin.call("GET", "/v2/config/global")
    found = read.json()
    assert found["gateway"] == "main"
    assert found["tls"] == {"http": None}
    assert found["cors"] is None
    assert found["logging"] == {
        "access_log": {"enabled": False, "path": "/dev/stdout"},
        "open_telemetry": None,
        "level": "info",
    }
    answer = await admin.call(
        "PATCH",
        "/v2/config/global",
        {"cors": {"allow_origins": ["https://app.example.com"]}},
        headers={"if-match": read.headers["etag"]},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["cors"]["allow_origins"] == ["https://app.example.com"]
    assert answer.json()["sync_status"] == "propagated_to_all_nodes"
    assert (await admin.call("PATCH", "/v2/config/global", {"cors": None})).json()["cors"] is None


@pytest.mark.parametrize(
    ("change", "status", "pointer"),
    [
        ({"tls": {"nowhere": {"min_version": "1.3"}}}, 422, "/tls/nowhere"),
        ({"tls": {"http": {"min_version": "1.3"}}}, 422, "/tls/http"),
        ({"cors": {"max_age": "1h1h"}}, 422, "/cors/max_age"),
        ({"cors": {"max_age": 5}}, 400, "/cors/max_age"),
        ({"tlss": {}}, 400, "/tlss"),
    ],
)
async def test_wrong_global_settings_are_refused_with_a_pointer(
    admin: AdminRun, change: dict[str, Any], status: int, pointer: str
) -> None:
    answer = await admin.call("PATCH", "/v2/config/global", change)
    assert answer.status_code == status, answer.text
    assert any(each["pointer"].startswith(pointer) for each in answer.json()["problems"]), (
        answer.text
    )


async def test_changes_are_validated_together_and_nothing_is_stored(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    backend = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name},
        "spec": {"url": "http://example.com"},
    }
    asked = {"routes": [body | {"upstream": [{"name": name}]}], "objects": [backend]}
    answer = await admin.call("POST", "/v2/config/validate", asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["valid"] is True, found
    assert found["checked_by_envoy"] is True
    assert {each["object"] for each in found["diff"]["objects"]} == {
        f"Route default/{name}",
        f"Backend default/{name}",
    }
    alone = await admin.call("POST", "/v2/config/validate", {"routes": asked["routes"]})
    assert alone.json()["valid"] is False
    assert alone.json()["problems"][0]["pointer"] == "/routes/0/upstream/0"
    assert (await admin.call("GET", "/v2/history?limit=1&kind=Backend")).json()["data"] == []


async def test_validation_points_into_the_whole_body(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    asked = {
        "routes": [body, body | {"name": f"{name}-b", "upstream": "http://example.com/path"}],
        "plugins": [{"name": name, "type": "rate_limit", "config": {"request": 1}}],
        "config": {"tls": {"nowhere": {}}},
        "objects": [
            {
                "apiVersion": "gateway.fluxgate.io/v1alpha1",
                "kind": "Upstream",
                "metadata": {"name": name},
                "spec": {"targets": [{"host": "127.0.0.1"}]},
            }
        ],
    }
    found = (await admin.call("POST", "/v2/config/validate", asked)).json()
    assert found["valid"] is False
    pointers = {each["pointer"] for each in found["problems"]}
    assert pointers >= {
        "/routes/1/upstream",
        "/plugins/0/config/request",
        "/config/tls/nowhere",
        "/objects/0/spec/targets/0/port",
    }
    assert f"Route default/{name}" in {each["object"] for each in found["diff"]["objects"]}


async def test_each_change_is_a_revision_with_author_reason_and_diff(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    route = await created(admin, "/v2/routes?reason=ticket%204711", body)
    made = await newest(admin, "Route", name)
    assert made["change"] == "created"
    assert made["object"] == {"id": route, "kind": "Route", "namespace": "default", "name": name}
    assert made["author"].startswith("key:bootstrap (key_")
    assert made["reason"] == "ticket 4711"
    assert made["via"] == "api"
    changed = await admin.call("PATCH", f"/v2/routes/{route}", {"timeout": "4s"})
    revision = await newest(admin, "Route", name)
    assert revision["request_id"] == changed.headers["x-request-id"]
    diff = (await admin.call("GET", f"/v2/history/{revision['revision']}/diff")).json()["diff"]
    assert "+    request: 4s\n" in diff
    whole = (await admin.call("GET", f"/v2/history/{revision['revision']}")).json()
    assert "timeouts" not in whole["before"]["spec"]
    assert whole["after"]["spec"]["timeouts"] == {"request": "4s"}


async def test_a_deleted_route_comes_back_by_one_call(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    route = await created(admin, "/v2/routes", body)
    first = await newest(admin, "Route", name)
    await admin.call("DELETE", f"/v2/routes/{route}")
    assert (await admin.gateway.get(f"/{name}/x")).status == 404
    deleted = await newest(admin, "Route", name)
    assert deleted["change"] == "deleted"
    answer = await admin.call("POST", f"/v2/history/{first['revision']}/rollback")
    assert answer.status_code == 200, answer.text
    assert answer.json()["sync_status"] == "propagated_to_all_nodes"
    assert (await admin.gateway.get(f"/{name}/x")).status == 200
    assert (await admin.call("GET", f"/v2/routes/{route}")).status_code == 200
    again = await admin.call("POST", f"/v2/history/{first['revision']}/rollback")
    assert again.json()["changed"] is False
    restored = await newest(admin, "Route", name)
    assert restored["reason"] == f"rollback: as it was after revision {first['revision']}"
    back = await admin.call(
        "POST", f"/v2/history/{restored['revision']}/rollback", {"state": "before"}
    )
    assert back.status_code == 200, back.text
    assert (await admin.gateway.get(f"/{name}/x")).status == 404


async def test_explain_says_which_route_a_request_takes_and_why(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    route = await created(admin, "/v2/routes", body | {"timeout": "6s"})
    asked = {"url": f"/{name}/x", "method": "GET", "headers": {"x-a": "b"}}
    answer = await admin.call("POST", "/v2/explain", asked)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["route"] == {"id": route, "object": f"Route default/{name}"}
    assert "timeout 6000 ms" in found["policies"]
    nothing = (await admin.call("POST", "/v2/explain", {"url": "/nowhere/at/all"})).json()
    assert nothing["route"] is None
    answer = await admin.call("POST", "/v2/explain", {"url": "http://[broken"})
    assert answer.status_code == 422


async def test_nodes_say_what_they_serve(admin: AdminRun) -> None:
    found = (await admin.call("GET", "/v2/nodes")).json()["data"]
    assert len(found) == 1
    node = found[0]
    assert node["connected"] is True
    assert node["sync_state"] == "synced"
    assert node["version"]
    assert node["lag"] == node["last_error"] == ""


async def test_a_gateway_has_one_name_wherever_it_is_said_or_asked_for(
    admin: AdminRun, body: dict[str, Any], name: str
) -> None:
    """The one of its GatewayConfig, though the Envoy of a folder asks for whichever was chosen."""
    for asked in ("main", "default/main"):
        (node,) = (await admin.call("GET", f"/v2/nodes?gateway={asked}")).json()["data"]
        assert node["gateway"] == "main"
        request = {"url": "/", "gateway": asked}
        told = (await admin.call("POST", "/v2/explain", request)).json()
        assert told["gateway"] == "main"
    assert (await admin.call("GET", "/v2/nodes?gateway=other")).json()["data"] == []
    answer = await admin.call("POST", "/v2/explain", {"url": "/", "gateway": "other"})
    assert answer.status_code == 404
    tried = await admin.call("POST", "/v2/routes?dry_run=true", body)
    diff = tried.json()["diff"]
    assert {each["gateway"] for each in (*diff["routes"], *diff["envoy"])} == {"main"}


async def test_the_pages_for_everybody_need_no_key_and_nothing_from_elsewhere(
    admin: AdminRun,
) -> None:
    for url in ("/healthz", "/readyz", "/openapi.json", "/docs"):
        answer = await admin.client.get(url)
        assert answer.status_code == 200, url
    page = await admin.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'sha256-"
    )
    for loading in (
        "<script",
        "<link",
        "<img",
        "<iframe",
        "@import",
        "url(",
        " src=",
        "javascript:",
    ):
        assert loading not in page.text, loading
    assert set(re.findall(r'href="([^"#]*)"', page.text)) <= {"openapi.json", ""}
    for operation in ("create_route", "configure_plugin", "rollback"):
        assert f'id="{operation}"' in page.text
