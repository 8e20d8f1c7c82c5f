"""What a credential must not get by a detour: code run by a dry run, documents by history, namespaces by a Tenant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AdminRun]:
    async with running_admin(tmp_path_factory.mktemp("admin"), {}) as opened:
        yield opened


def document(kind: str, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def gateway(*admitted: str) -> dict[str, Any]:
    listener = {"name": "http", "port": 8080, "address": "127.0.0.1"}
    return document(
        "GatewayConfig",
        "default",
        "main",
        {"listeners": [listener], "extensions": {"allow": list(admitted)}},
    )


def script_that_makes(file: Path) -> dict[str, Any]:
    """A Route whose script makes a file when Envoy loads it."""
    config = {
        "@type": f"{FILTERS}.lua.v3.Lua",
        "defaultSourceCode": {"inlineString": f'io.open("{file}", "w"):close()'},
    }
    spec = {
        "matches": [{"path": {"value": "/mine/"}}],
        "auth": {"mode": "None"},
        "backends": [{"url": "http://example.com"}],
        "plugins": [
            {
                "type": "envoy-patch",
                "config": {"filters": [{"name": "lua", "typedConfig": config}]},
            }
        ],
    }
    return document("Route", "default", "mine", spec)


async def test_a_dry_run_by_who_only_reads_runs_no_code(admin: AdminRun, tmp_path: Path) -> None:
    key = await admin.key_for("configs:read", "routes:read", "plugins:read")
    made = tmp_path / "made"
    answer = await admin.call(
        "POST",
        "/v2/config/validate",
        {"objects": [gateway("envoy-patch"), script_that_makes(made)]},
        key=key,
    )
    assert not made.exists(), answer.text
    assert answer.status_code == 403, answer.text


async def test_who_may_write_it_all_may_try_code_too(admin: AdminRun) -> None:
    key = await admin.key_for("configs:admin", "routes:write")
    spec = {"matches": [{"path": {"value": "/mine/"}}], "auth": {"mode": "None"}}
    spec |= {"backends": [{"url": "http://example.com"}]}
    spec["plugins"] = [{"type": "lua", "config": {"source": "function envoy_on_request(h) end"}}]
    tried = {"objects": [gateway("lua"), document("Route", "default", "mine", spec)]}
    answer = await admin.call("POST", "/v2/config/validate", tried, key=key)
    assert (answer.status_code, answer.json()["valid"]) == (200, True), answer.text


CODE = {"type": "lua", "config": {"source": "function envoy_on_request(h) end"}}
BY_PATH = {"certificateFiles": [{"certificate": "/dev/stdin", "key": "/dev/stdin"}]}


@pytest.mark.parametrize(
    ("tried", "scope"),
    [
        (document("Plugin", "default", "mine", CODE), "plugins:write"),
        (gateway("lua"), "configs:admin"),
        (document("Tenant", "default", "acme", {}), "tenants:write"),
        (
            document(
                "GatewayConfig",
                "default",
                "files",
                {"listeners": [{"name": "tls", "port": 8443, "protocol": "HTTPS", "tls": BY_PATH}]},
            ),
            "configs:admin",
        ),
    ],
    ids=["code", "what admits code", "whose code is admitted", "files of the server"],
)
async def test_trying_what_reaches_further_takes_the_scope_for_making_it(
    admin: AdminRun, tried: dict[str, Any], scope: str
) -> None:
    key = await admin.key_for("configs:read", "routes:read", "plugins:read", "tenants:read")
    answer = await admin.call("POST", "/v2/config/validate", {"objects": [tried]}, key=key)
    assert (answer.status_code, answer.json()["scope"]) == (403, scope), answer.text


def claim(namespace: str) -> dict[str, Any]:
    return document("Tenant", "team-a", "team-a", {"namespace": namespace, "suspended": True})


async def test_a_tenant_claims_no_namespace_that_its_author_does_not_see(admin: AdminRun) -> None:
    key = await admin.key_for("tenants:write", "history:write", namespaces=frozenset(("team-a",)))
    url = "/v2/objects/Tenant/team-a/team-a"
    tried = {"objects": [claim("team-b")]}
    batch = {"objects": [{"document": claim("team-b")}]}
    for answer, place in (
        (await admin.call("PUT", url, claim("team-b"), key=key), ""),
        (await admin.call("PUT", f"{url}?dry_run=true", claim("team-b"), key=key), ""),
    ):
        assert answer.status_code == 422, answer.text
        assert answer.json()["problems"][0]["pointer"] == f"{place}/spec/namespace"
    answer = await admin.call("POST", "/v2/objects:apply", batch, key=key)
    (result,) = answer.json()["results"]
    assert result["outcome"] == "refused", answer.text
    assert result["problems"][0]["pointer"] == "/objects/0/document/spec/namespace"
    assert (await admin.call("GET", url)).status_code == 404
    key_that_tries = await admin.key_for(
        "configs:read", "tenants:write", namespaces=frozenset(("team-a",))
    )
    answer = await admin.call("POST", "/v2/config/validate", tried, key=key_that_tries)
    assert answer.json()["valid"] is False, answer.text
    assert (await admin.call("PUT", url, claim("team-a"), key=key)).status_code == 201
    assert (await admin.call("DELETE", url, key=key)).status_code == 204


async def test_no_rollback_claims_what_a_write_may_not(admin: AdminRun) -> None:
    url = "/v2/objects/Tenant/team-a/team-a"
    assert (await admin.call("PUT", url, claim("team-b"))).status_code == 201
    assert (await admin.call("DELETE", url)).status_code == 204
    key = await admin.key_for("tenants:write", "history:write", namespaces=frozenset(("team-a",)))
    found = (await admin.call("GET", "/v2/history?kind=Tenant", key=key)).json()["data"]
    made = next(each["revision"] for each in found if each["change"] == "created")
    latest = found[0]["revision"]
    before = await admin.call(
        "POST", f"/v2/history/{latest}/rollback", {"state": "before"}, key=key
    )
    after = await admin.call("POST", f"/v2/history/{made}/rollback", key=key)
    assert before.status_code == 422, before.text
    assert after.status_code in (404, 422), after.text
    assert (await admin.call("GET", url)).status_code == 404


async def test_who_is_bound_to_a_namespace_admits_no_code_for_everybody(
    admin: AdminRun, tmp_path: Path
) -> None:
    key = await admin.key_for("configs:admin", namespaces=frozenset(("team-a",)))
    listener = {"name": "http", "port": 8081, "address": "127.0.0.1"}
    spec = {"listeners": [listener], "extensions": {"allow": ["envoy-patch"]}}
    url = "/v2/objects/GatewayConfig/team-a/mine"
    answer = await admin.call(
        "PUT", f"{url}?dry_run=true", document("GatewayConfig", "team-a", "mine", spec), key=key
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["problems"][0]["pointer"] == "/spec/extensions"
    further = {
        "/spec/listeners": {"listeners": [{**listener, "protocol": "HTTPS", "tls": BY_PATH}]},
        "/spec/upstreamSockets": {"listeners": [listener], "upstreamSockets": ["/run"]},
        "/spec/logging/accessLog/path": {
            "listeners": [listener],
            "logging": {"accessLog": {"path": str(tmp_path / "log")}},
        },
    }
    for place, spec in further.items():
        answer = await admin.call(
            "PUT", f"{url}?dry_run=true", document("GatewayConfig", "team-a", "mine", spec), key=key
        )
        assert answer.status_code == 422, answer.text
        assert [each["pointer"] for each in answer.json()["problems"]] == [place]
    assert not (tmp_path / "log").exists()


async def test_history_shows_objects_to_who_may_read_their_kind(admin: AdminRun) -> None:
    url = "/v2/objects/Upstream/default/kept"
    spec = {"targets": [{"host": "kept.example.com", "port": 80}]}
    made = await admin.call("PUT", url, document("Upstream", "default", "kept", spec))
    assert made.status_code == 201, made.text
    try:
        key = await admin.key_for("history:read", "routes:read")
        seen = await admin.call("GET", "/v2/history", key=key)
        assert {each["object"]["kind"] for each in seen.json()["data"]} <= {"Route"}
        asked = await admin.call("GET", "/v2/history?kind=Upstream", key=key)
        assert (asked.status_code, asked.json()["scope"]) == (403, "upstreams:read")
        every = (await admin.call("GET", "/v2/history?kind=Upstream")).json()["data"]
        number = every[0]["revision"]
        for suffix in ("", "/diff"):
            answer = await admin.call("GET", f"/v2/history/{number}{suffix}", key=key)
            assert (answer.status_code, answer.json()["scope"]) == (403, "upstreams:read")
            assert "kept.example.com" not in answer.text
        writer = await admin.key_for("history:write")
        answer = await admin.call("POST", f"/v2/history/{number}/rollback", key=writer)
        assert answer.status_code == 403, answer.text
    finally:
        assert (await admin.call("DELETE", url)).status_code == 204
