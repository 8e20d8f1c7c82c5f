"""Routes by the admin API, against a real gateway: what is written is served, what is read is what is served."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin
from support.standalone import route
from support.upstream import EchoUpstream

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
_names = (f"route-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(
    tmp_path_factory: pytest.TempPathFactory, echo: EchoUpstream
) -> AsyncIterator[AdminRun]:
    files = {"hand.yaml": "# kept\n" + route("by-hand", "/by-hand", echo.port)}
    async with running_admin(tmp_path_factory.mktemp("admin"), files) as run:
        yield run


@pytest.fixture
def body(echo: EchoUpstream) -> dict[str, Any]:
    """A route of its own for every test."""
    name = next(_names)
    return {
        "name": name,
        "match": {"path": f"/{name}/*"},
        "upstream": f"http://127.0.0.1:{echo.port}",
        "auth": {"mode": "None"},
    }


async def created(admin: AdminRun, body: dict[str, Any]) -> str:
    answer = await admin.call("POST", "/v2/routes", body)
    assert answer.status_code == 201, answer.text
    public: str = answer.json()["id"]
    return public


async def test_a_route_in_a_file_is_listed_with_its_id_and_the_health_of_its_upstream(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    answer = await admin.call("GET", "/v2/routes")
    found = {each["name"]: each for each in answer.json()["data"]}["by-hand"]
    assert found["id"].startswith("rt_")
    assert found["status"] == "active"
    assert found["sync_status"] == "propagated_to_all_nodes"
    assert found["upstream"] == f"http://127.0.0.1:{echo.port}"
    assert found["health"] == {
        "status": "not_checked",
        "targets": [{"address": f"127.0.0.1:{echo.port}", "health": "NotChecked", "reasons": []}],
    }
    alone = await admin.call("GET", f"/v2/routes/{found['id']}")
    assert alone.json() == found
    modified = (admin.gateway.folder / "hand.yaml").stat().st_mtime
    written = dt.datetime.fromtimestamp(int(modified), dt.UTC)
    assert found["created_at"] == written.strftime("%Y-%m-%dT%H:%M:%SZ")
    patched = await admin.call("PATCH", f"/v2/routes/{found['id']}", {"description": "dated"})
    assert patched.json()["created_at"] is not None


async def test_the_very_next_request_is_served(admin: AdminRun, body: dict[str, Any]) -> None:
    public = await created(admin, body)
    assert (await admin.gateway.get(f"/{body['name']}/x")).status == 200
    answer = await admin.call("DELETE", f"/v2/routes/{public}")
    assert answer.status_code == 204
    assert answer.content == b""
    assert (await admin.gateway.get(f"/{body['name']}/x")).status == 404
    assert (await admin.call("GET", f"/v2/routes/{public}")).status_code == 404


async def test_a_patch_changes_what_it_names_and_nothing_else(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    body |= {"timeout": {"request": "9s", "idle": "1m"}, "description": "stays"}
    public = await created(admin, body)
    changes = {
        "timeout": "3s",
        "retries": 4,
        "circuit_breaker": {"max_connections": 7},
        "upstream": [{"url": body["upstream"], "weight": 3}, {"url": "http://127.0.0.1:9"}],
    }
    answer = await admin.call("PATCH", f"/v2/routes/{public}", changes)
    assert answer.status_code == 200, answer.text
    now = answer.json()
    assert now["timeout"] == {"request": "3s", "idle": "1m"}
    assert now["retries"] == 4
    assert now["circuit_breaker"] == {"max_connections": 7}
    assert now["upstream"] == changes["upstream"]
    assert now["description"] == "stays"
    assert now["sync_status"] == "propagated_to_all_nodes"
    answer = await admin.call(
        "PATCH", f"/v2/routes/{public}", {"circuit_breaker": None, "timeout": {"idle": None}}
    )
    assert "circuit_breaker" not in answer.json()
    assert answer.json()["timeout"] == "3s"


async def test_a_route_is_found_by_its_name_where_its_creator_left_the_namespace_to_the_server(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    """Who may act in one namespace alone need not say it; who may in several has to."""
    name = body["name"]
    everywhere = await created(admin, body | {"match": {"path": "/default/*"}})
    mine = await admin.key_for("routes:write", namespaces=frozenset(("team-n",)))
    several = await admin.key_for("routes:write", namespaces=frozenset(("team-n", "team-m")))
    made = await admin.call("POST", "/v2/routes", body, key=mine)
    assert made.status_code == 201, made.text
    own = made.json()["id"]
    for key, public in ((admin.key, everywhere), (mine, own)):
        found = await admin.call("GET", f"/v2/routes/{name}", key=key)
        assert (found.status_code, found.json()["id"]) == (200, public), found.text
    changed = await admin.call("PATCH", f"/v2/routes/{name}", {"timeout": "3s"}, key=mine)
    assert (changed.json()["id"], changed.json()["timeout"]) == (own, "3s")
    unsaid = await admin.call("GET", f"/v2/routes/{name}", key=several)
    assert (unsaid.status_code, unsaid.json()["error"]) == (400, "invalid_request")
    assert "team-m, team-n" in unsaid.json()["message"]
    gone = await admin.call("DELETE", f"/v2/routes/{name}?wait=all&timeout=0", key=mine)
    assert gone.status_code == 204 or gone.json()["id"] == own, gone.text
    again = await admin.call("GET", f"/v2/routes/{name}", key=mine)
    assert (again.status_code, again.json()["message"]) == (
        404,
        f"There is no Route team-n/{name}.",
    )
    assert (await admin.call("GET", f"/v2/routes/{everywhere}")).status_code == 200


async def test_what_get_shows_put_takes_and_then_nothing_changes(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    body |= {
        "match": {
            "path": f"/{body['name']}/{{id}}",
            "hosts": ["shop.example.com"],
            "headers": {"X-Env": "canary"},
            "query_params": [{"name": "debug", "type": "Present"}],
            "methods": ["GET"],
        },
        "retries": {
            "attempts": 2,
            "retry_on": ["5xx"],
            "back_off": {"base": "10ms", "max": "20ms"},
        },
        "rewrite": {"path": {"type": "ReplaceFull", "value": "/new"}},
        "labels": {"team": "shop"},
        "plugins": [{"id": "rate-limit", "config": {"requests": 5}}],
        "priority": 3,
    }
    public = await created(admin, body)
    shown = (await admin.call("GET", f"/v2/routes/{public}")).json()
    written = {key: shown[key] for key in body}
    assert written == body | {
        "match": body["match"] | {"headers": [{"name": "X-Env", "value": "canary"}]}
    }
    before = (await admin.call("GET", "/v2/history")).json()["data"][0]["revision"]
    answer = await admin.call("PUT", f"/v2/routes/{public}", written)
    assert answer.status_code == 200, answer.text
    assert (await admin.call("GET", "/v2/history")).json()["data"][0]["revision"] == before


async def test_put_forgets_what_it_does_not_say(admin: AdminRun, body: dict[str, Any]) -> None:
    public = await created(admin, body | {"timeout": "9s", "labels": {"team": "shop"}})
    answer = await admin.call("PUT", f"/v2/routes/{public}", body)
    assert answer.status_code == 200, answer.text
    assert "timeout" not in answer.json()
    assert "labels" not in answer.json()
    answer = await admin.call("PUT", f"/v2/routes/{public}", body | {"name": "other"})
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["pointer"] == "/name"


async def test_a_file_written_by_hand_keeps_its_comments_when_it_is_changed(
    admin: AdminRun,
) -> None:
    listed = (await admin.call("GET", "/v2/routes?limit=500")).json()["data"]
    public = next(each["id"] for each in listed if each["name"] == "by-hand")
    answer = await admin.call("PATCH", f"/v2/routes/{public}", {"timeout": "7s"})
    assert answer.status_code == 200, answer.text
    text = (admin.gateway.folder / "hand.yaml").read_text()
    assert text.startswith("# kept\n")
    assert "7s" in text


async def test_if_match_lets_only_the_version_pass_that_was_read(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    public = await created(admin, body)
    read = await admin.call("GET", f"/v2/routes/{public}")
    etag = read.headers["etag"]
    assert etag == f'"{read.json()["etag"]}"'
    same = await admin.call("GET", f"/v2/routes/{public}", headers={"if-none-match": etag})
    assert same.status_code == 304
    changed = await admin.call(
        "PATCH", f"/v2/routes/{public}", {"timeout": "1s"}, headers={"if-match": etag}
    )
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] != etag
    for stale in (etag, f"W/{changed.headers['etag']}", '"other"'):
        answer = await admin.call(
            "PATCH", f"/v2/routes/{public}", {"timeout": "2s"}, headers={"if-match": stale}
        )
        assert answer.status_code == 412, stale
        assert answer.json()["error"] == "precondition_failed"
    answer = await admin.call("DELETE", f"/v2/routes/{public}", headers={"if-match": "*"})
    assert answer.status_code == 204


async def test_an_equal_write_writes_nothing(admin: AdminRun, body: dict[str, Any]) -> None:
    public = await created(admin, body)
    files = {each: each.stat().st_mtime_ns for each in admin.gateway.folder.rglob("*.yaml")}
    newest = (await admin.call("GET", "/v2/history")).json()["data"][0]["revision"]
    answer = await admin.call("PATCH", f"/v2/routes/{public}", {"auth": {"mode": "None"}})
    assert answer.status_code == 200
    assert answer.json()["sync_status"] == "propagated_to_all_nodes"
    assert files == {each: each.stat().st_mtime_ns for each in admin.gateway.folder.rglob("*.yaml")}
    assert (await admin.call("GET", "/v2/history")).json()["data"][0]["revision"] == newest


async def test_a_dry_run_shows_what_it_would_do_and_stores_nothing(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    answer = await admin.call("POST", "/v2/routes?dry_run=true", body)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["valid"] is True
    assert found["checked_by_envoy"] is True
    assert [each["object"] for each in found["diff"]["objects"]] == [
        f"Route default/{body['name']}"
    ]
    assert any(each["change"] == "added" for each in found["diff"]["routes"])
    again = await admin.call("POST", "/v2/routes?dry_run=true", body)
    assert again.json()["cached"] is True
    listed = (await admin.call("GET", "/v2/routes?limit=500")).json()["data"]
    assert body["name"] not in {each["name"] for each in listed}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"match": {"path": "/a/*/b"}}, "/match/path"),
        ({"match": {"path": "nowhere"}}, "/match/path"),
        ({"match": {"headers": {"X-A": "b", "x-c": "d\u0001"}}}, ""),
        (
            {"match": [{"path": "/a", "hosts": ["a.example"]}, {"hosts": ["b.example"]}]},
            "/match/1/hosts",
        ),
        ({"upstream": "http://example.com/with/a/path"}, "/upstream"),
        ({"upstream": [{"name": "absent"}]}, "/upstream/0"),
        ({"timeout": "1h1h"}, "/timeout"),
        ({"retries": {"hedge": True}}, "/retries/hedge"),
        ({"plugins": [{"id": "no_such_plugin"}]}, "/plugins/0/id"),
        ({"plugins": [{"id": "pl_aaaaaaaaaaaaaaaa"}]}, "/plugins/0/id"),
        ({"plugins": [{"id": "jwt_auth", "config": {}}]}, "/plugins/0/config/providers"),
        ({"plugins": [{"id": "jwt_auth", "config": {"issuer": "x"}}]}, "/plugins/0/config/issuer"),
        (
            {
                "plugins": [
                    {"id": "jwt_auth", "config": {"issuer": "https://a.example", "colour": 1}}
                ]
            },
            "/plugins/0/config/colour",
        ),
        (
            {"plugins": [{"id": "rate_limit", "config": {"requests": 5, "window": "soon"}}]},
            "/plugins/0/config/window",
        ),
    ],
)
async def test_a_change_that_would_not_be_served_is_refused_with_a_pointer_into_the_body(
    admin: AdminRun, body: dict[str, Any], change: dict[str, Any], pointer: str
) -> None:
    answer = await admin.call("POST", "/v2/routes", body | change)
    found = answer.json()
    if not pointer:
        assert answer.status_code in (400, 422), answer.text
        return
    assert answer.status_code == 422, answer.text
    assert pointer in {each["pointer"] for each in found["problems"]}, found
    assert found["message"]
    listed = (await admin.call("GET", "/v2/routes?limit=500")).json()["data"]
    assert body["name"] not in {each["name"] for each in listed}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"colour": "red"}, "/colour"),
        ({"match": {"paths": "/x"}}, "/match/paths"),
        ({"match": {"methods": ["FETCH"]}}, "/match/methods/0"),
        ({"retries": "3"}, "/retries"),
        ({"enabled": "yes"}, "/enabled"),
        ({"upstream": {"urll": "http://example.com"}}, "/upstream/urll"),
        ({"plugins": [{"config": {}}]}, "/plugins/0/id"),
        ({"async": {"attempts": 3}}, "/async/attempts"),
    ],
)
async def test_a_body_that_cannot_be_read_is_refused_with_a_pointer(
    admin: AdminRun, body: dict[str, Any], change: dict[str, Any], pointer: str
) -> None:
    answer = await admin.call("POST", "/v2/routes", body | change)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "invalid_request"
    assert pointer in {each["pointer"] for each in answer.json()["problems"]}


async def test_json_that_is_sent_as_something_else_is_refused_with_what_to_say_instead(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    """``curl --data`` sends a form when no other type is said."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await admin.call("POST", "/v2/routes", body, headers=form)

    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["message"]


async def test_an_idempotency_key_makes_a_change_once(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    headers = {"idempotency-key": body["name"]}
    first = await admin.call("POST", "/v2/routes", body, headers=headers)
    again = await admin.call("POST", "/v2/routes", body, headers=headers)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["etag"] == again.headers["etag"]
    other = await admin.call("POST", "/v2/routes", body | {"timeout": "1s"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["error"] == "idempotency_key_reused"
    without = await admin.call("POST", "/v2/routes", body)
    assert without.status_code == 409
    assert without.json()["error"] == "already_exists"


async def test_a_refused_request_leaves_its_idempotency_key_free(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    headers = {"idempotency-key": body["name"]}
    wrong = body | {"upstream": "http://example.com/path"}
    assert (await admin.call("POST", "/v2/routes", wrong, headers=headers)).status_code == 422
    assert (await admin.call("POST", "/v2/routes", body, headers=headers)).status_code == 201


async def test_pages_follow_each_other_without_gaps(admin: AdminRun, body: dict[str, Any]) -> None:
    for suffix in ("a", "b", "c"):
        name = f"{body['name']}-{suffix}"
        mine = {"name": name, "match": {"path": f"/{name}/*"}, "labels": {"page": body["name"]}}
        await created(admin, body | mine)
    url = f"/v2/routes?limit=2&label=page={body['name']}"
    first = (await admin.call("GET", url)).json()
    assert first["has_more"]
    second = (await admin.call("GET", f"{url}&after={first['after']}")).json()
    names = [each["name"] for each in (*first["data"], *second["data"])]
    assert names == [f"{body['name']}-{suffix}" for suffix in ("a", "b", "c")]
    assert not second["has_more"]
    assert second["after"] is None
    answer = await admin.call("GET", "/v2/routes?after=nonsense")
    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid_cursor"


async def test_a_disabled_route_says_so_and_every_node_knows(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    public = await created(admin, body)
    answer = await admin.call("PATCH", f"/v2/routes/{public}", {"enabled": False})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "disabled"
    assert answer.json()["sync_status"] == "propagated_to_all_nodes"
    assert (await admin.gateway.get(f"/{body['name']}/x")).status == 404
    read = (await admin.call("GET", f"/v2/routes/{public}")).json()
    assert (read["status"], read["sync_status"]) == ("disabled", "propagated_to_all_nodes")
    listed = (await admin.call("GET", "/v2/routes?status=disabled")).json()["data"]
    assert public in {each["id"] for each in listed}


async def test_requests_that_http_or_this_api_does_not_know_are_refused_in_one_shape(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    key = {"x-fluxgate-key": admin.key}
    json = key | {"content-type": "application/json"}
    for method, url, headers, content, status, error in (
        ("GET", "/v2/nothing", key, None, 404, "not_found"),
        ("PUT", "/v2/routes", key, None, 405, "method_not_allowed"),
        ("GET", "/v2/routes?colour=red", key, None, 400, "invalid_request"),
        ("GET", "/v2/routes?limit=1&limit=2", key, None, 400, "invalid_request"),
        ("GET", "/v2/routes?limit=0", key, None, 400, "invalid_request"),
        ("GET", "/v2/routes", {}, None, 401, "unauthenticated"),
        ("POST", "/v2/routes", {"content-type": "application/json"}, b"{", 401, "unauthenticated"),
        ("POST", "/v2/routes", json, b"{", 400, "invalid_request"),
        ("POST", "/v2/routes", json, b'{"name": "\\ud800"}', 400, "invalid_request"),
        ("POST", "/v2/routes", json, b'{"name": "a", "match": NaN}', 400, "invalid_request"),
        ("POST", "/v2/routes", json, b"[" * 100_000, 400, "invalid_request"),
        ("POST", "/v2/routes", json, b"x" * 2_000_000, 413, "too_large"),
        ("POST", "/v2/routes", key | {"content-type": "text/plain"}, b"{}", 400, "invalid_request"),
    ):
        answer = await admin.client.request(method, url, headers=headers, content=content)
        assert answer.status_code == status, (url, answer.text)
        found = answer.json()
        assert found["error"] == error
        assert found["request_id"] == answer.headers["x-request-id"]
    answer = await admin.client.request("PUT", "/v2/routes", headers=key)
    assert answer.headers["allow"] == "GET, POST"
