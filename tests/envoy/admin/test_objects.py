"""Objects of any kind, one by one and many in one write, against a real gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin
from support.upstream import EchoUpstream

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def echo() -> Any:
    with EchoUpstream() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AdminRun]:
    async with running_admin(tmp_path_factory.mktemp("admin"), {}) as run:
        yield run


def document(
    kind: str, name: str, spec: dict[str, Any], namespace: str = "default"
) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def backend(name: str, port: int) -> dict[str, Any]:
    return document("Backend", name, {"url": f"http://127.0.0.1:{port}"})


def route(name: str, to: str, path: str = "") -> dict[str, Any]:
    match = {"path": {"type": "Prefix", "value": path or f"/{name}"}}
    return document("Route", name, {"matches": [match], "backends": [{"name": to}]})


def put(*documents: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"document": each} for each in documents]


def delete(kind: str, name: str) -> dict[str, Any]:
    return {"delete": {"kind": kind, "name": name}}


async def apply(admin: AdminRun, objects: list[dict[str, Any]], query: str = "", **how: Any) -> Any:
    answer = await admin.call("POST", f"/v2/objects:apply{query}", {"objects": objects}, **how)
    assert answer.status_code == 200, answer.text
    return answer.json()


def outcomes(answer: Any) -> dict[str, str]:
    return {each["name"]: each["outcome"] for each in answer["results"]}


async def test_a_route_comes_with_the_backend_it_needs_in_whatever_order_they_stand(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    answer = await apply(admin, put(route("pair", "pair"), backend("pair", echo.port)))
    assert [each["outcome"] for each in answer["results"]] == ["created", "created"]
    assert answer["sync_status"] == "propagated_to_all_nodes"
    assert (await admin.gateway.get("/pair")).status == 200


async def test_what_is_bad_is_refused_with_its_pointer_and_the_rest_is_served(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    bad = route("bad", "nowhere")
    wrong = document("Route", "wrong", {"matches": [{"path": {"value": "no-slash"}}]})
    answer = await apply(admin, put(bad, wrong, route("good", "good"), backend("good", echo.port)))
    assert outcomes(answer) == {"bad": "refused", "wrong": "refused", "good": "created"}
    by_name = {each["name"]: each for each in answer["results"]}
    assert by_name["bad"]["problems"][0]["pointer"].startswith(
        "/objects/0/document/spec/backends/0"
    )
    assert by_name["wrong"]["problems"][0]["pointer"].startswith(
        "/objects/1/document/spec/matches/0"
    )
    assert (await admin.gateway.get("/good")).status == 200
    assert (await admin.gateway.get("/bad")).status == 404


async def test_what_only_envoy_refuses_stops_nothing_else(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    dear = document(
        "Route",
        "dear",
        {
            "matches": [{"path": {"type": "Regex", "value": "/(a|b){700}z"}}],
            "backends": [{"url": f"http://127.0.0.1:{echo.port}"}],
        },
    )
    answer = await apply(admin, put(dear, backend("cheap", echo.port), route("cheap", "cheap")))
    assert outcomes(answer) == {"dear": "refused", "cheap": "created"}
    refused = next(each for each in answer["results"] if each["name"] == "dear")
    assert refused["problems"][0]["source"] == "envoy"


async def test_what_is_as_it_shall_be_is_not_written_again(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    await apply(admin, put(backend("same", echo.port)))
    before = sorted(path.stat().st_mtime_ns for path in admin.gateway.folder.rglob("*.yaml"))
    answer = await apply(admin, put(backend("same", echo.port)))
    assert outcomes(answer) == {"same": "unchanged"}
    assert sorted(p.stat().st_mtime_ns for p in admin.gateway.folder.rglob("*.yaml")) == before


async def test_what_others_need_goes_only_with_them(admin: AdminRun, echo: EchoUpstream) -> None:
    await apply(admin, put(backend("needed", echo.port), route("needing", "needed")))
    refused = await apply(admin, [delete("Backend", "needed")])
    assert outcomes(refused) == {"needed": "refused"}
    assert refused["results"][0]["used_by"] == ["Route default/needing"]
    both = await apply(admin, [delete("Backend", "needed"), delete("Route", "needing")])
    assert outcomes(both) == {"needed": "deleted", "needing": "deleted"}
    again = await apply(admin, [delete("Backend", "needed"), delete("Route", "needing")])
    assert outcomes(again) == {"needed": "unchanged", "needing": "unchanged"}


async def test_a_route_that_would_still_need_it_is_no_excuse_to_delete_a_backend(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    await apply(admin, put(backend("kept", echo.port), route("keeps", "kept")))
    answer = await apply(
        admin, [*put(route("keeps", "kept", "/elsewhere")), delete("Backend", "kept")]
    )
    assert "deleted" not in outcomes(answer).values()
    assert (await admin.gateway.get("/keeps")).status == 200


async def test_the_same_object_twice_is_refused_the_second_time(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    answer = await apply(admin, put(backend("twice", echo.port), backend("twice", 9)))
    assert [each["outcome"] for each in answer["results"]] == ["created", "refused"]
    assert answer["results"][1]["error"] == "duplicate"


async def test_an_object_is_only_changed_from_the_version_that_was_seen(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    first = await apply(admin, put(backend("seen", echo.port)))
    etag = first["results"][0]["etag"]
    await apply(admin, put(backend("seen", 9)))
    objects = [{"document": backend("seen", 8), "etag": etag}]
    answer = await apply(admin, objects)
    assert answer["results"][0]["error"] == "precondition_failed"
    answer = await apply(admin, [{"document": backend("seen", 8), "etag": ""}])
    assert answer["results"][0]["error"] == "precondition_failed"


async def test_a_dry_run_says_the_same_and_stores_nothing(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    answer = await apply(
        admin, put(backend("dry", echo.port), route("dry", "nowhere")), "?dry_run=true"
    )
    assert [each["outcome"] for each in answer["results"]] == ["created", "refused"]
    assert answer["dry_run"]
    assert [each["object"] for each in answer["diff"]["objects"]] == ["Backend default/dry"]
    gone = await admin.call("GET", "/v2/objects/Backend/default/dry")
    assert gone.status_code == 404


async def test_a_caller_writes_only_kinds_it_may_and_namespaces_it_sees(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    key = await admin.key_for("backends:write", namespaces=frozenset(("default",)))
    other = document("Backend", "other", {"url": "http://127.0.0.1:9"}, "elsewhere")
    answer = await apply(
        admin, put(backend("mine", echo.port), route("mine", "mine"), other), key=key
    )
    errors = [each.get("error", "") for each in answer["results"]]
    assert errors == ["", "scope_mismatch", "not_found"]


async def test_a_list_has_the_documents_of_one_kind_by_label_and_page(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    made = [backend(f"labelled-{each}", echo.port) for each in range(3)]
    for each in made:
        each["metadata"]["labels"] = {"team": "blue"}
    await apply(admin, put(*made))
    names, after = [], ""
    while True:
        query = f"?kind=Backend&label=team%3Dblue&limit=2{after}"
        page = (await admin.call("GET", f"/v2/objects{query}")).json()
        names += [each["document"]["metadata"]["name"] for each in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['after']}"
    assert names == [each["metadata"]["name"] for each in made]
    assert page["data"][0]["document"] == made[2]


async def test_one_object_is_put_read_and_deleted_by_its_name(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    path = "/v2/objects/Backend/default/single"
    made = await admin.call("PUT", path, backend("single", echo.port))
    assert made.status_code == 201, made.text
    read = await admin.call("GET", path)
    assert read.json()["document"] == backend("single", echo.port)
    assert read.headers["etag"] == made.headers["etag"]
    changed = await admin.call("PUT", path, backend("single", 9))
    assert changed.status_code == 200, changed.text
    wrong = await admin.call("PUT", path, backend("another", 9))
    assert wrong.status_code == 422
    gone = await admin.call("DELETE", path)
    assert gone.status_code == 204, gone.text
    assert (await admin.call("GET", path)).status_code == 404


async def test_a_batch_is_one_write_of_the_limit_and_each_object_a_revision(
    admin: AdminRun, echo: EchoUpstream
) -> None:
    many = [backend(f"many-{each}", echo.port) for each in range(60)]
    answer = await apply(admin, put(*many), "?reason=a%20batch")
    assert set(outcomes(answer).values()) == {"created"}
    revisions = [each["revision"] for each in answer["results"]]
    assert len(set(revisions)) == 60


async def test_a_gateway_is_shown_as_it_is_written_though_it_is_served_on_another_port(
    admin: AdminRun,
) -> None:
    (shown,) = (await admin.call("GET", "/v2/objects?kind=GatewayConfig")).json()["data"]
    assert shown["document"]["spec"]["listeners"][0]["port"] == 8080
    assert admin.gateway.port != 8080
    answer = await apply(admin, [{"document": shown["document"], "etag": shown["etag"]}])
    assert outcomes(answer) == {"main": "unchanged"}
