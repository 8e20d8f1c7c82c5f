"""What a caller gets wrong is answered by the field and what to write instead, and changes nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin
from support.standalone import route
from support.upstream import EchoUpstream

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

_names = (f"wrong-{number}" for number in itertools.count())
ON_PURPOSE = '{"match": {"path": "/*"}}'


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(
    tmp_path_factory: pytest.TempPathFactory, echo: EchoUpstream
) -> AsyncIterator[AdminRun]:
    files = {"hand.yaml": route("by-hand", "/by-hand", echo.port)}
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


async def names(admin: AdminRun) -> set[str]:
    answer = await admin.call("GET", "/v2/routes?limit=500")
    return {each["name"] for each in answer.json()["data"]}


def assert_refused(answer: httpx.Response, pointer: str, *words: str) -> None:
    assert answer.status_code == 422, answer.text
    problems = answer.json()["problems"]
    found = [each["message"] for each in problems if each["pointer"] == pointer]
    assert found, problems
    for word in words:
        assert word in found[0]
        assert word in answer.json()["message"]


# a route for everything


@pytest.mark.parametrize("match", [{}, {"methods": ["GET"]}, {"path": {}}, {"hosts": []}])
async def test_no_route_for_every_request_is_made_that_was_not_asked_for(
    admin: AdminRun, body: dict[str, Any], match: dict[str, Any]
) -> None:
    assert_refused(
        await admin.call("POST", "/v2/routes", body | {"match": match}), "/match", ON_PURPOSE
    )
    assert body["name"] not in await names(admin)
    tried = await admin.call("POST", "/v2/config/validate", {"routes": [body | {"match": match}]})
    assert tried.json()["valid"] is False
    assert [each["pointer"] for each in tried.json()["problems"]] == ["/routes/0/match"]


@pytest.mark.parametrize("match", [None, {"path": None}])
async def test_no_patch_makes_a_route_for_every_request_by_taking_its_match_away(
    admin: AdminRun, body: dict[str, Any], match: dict[str, Any] | None
) -> None:
    public = await created(admin, body)
    answer = await admin.call("PATCH", f"/v2/routes/{public}", {"match": match})
    assert_refused(answer, "/match", ON_PURPOSE)
    assert (await admin.gateway.get("/elsewhere")).status == 404
    assert (await admin.gateway.get(f"/{body['name']}/x")).status == 200


async def test_a_patch_that_says_nothing_of_the_match_leaves_it(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    public = await created(admin, body)
    for match in ({}, {"methods": None}, {"hosts": None}):
        answer = await admin.call("PATCH", f"/v2/routes/{public}", {"match": match})
        assert answer.status_code == 200, answer.text
        assert answer.json()["match"]["path"] == body["match"]["path"]


async def test_a_route_for_every_request_is_made_when_it_is_asked_for(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    everything = body | {"match": {"path": "/*"}, "priority": -1000}
    public = await created(admin, everything)
    try:
        assert (await admin.gateway.get("/elsewhere")).status == 200
        shown = (await admin.call("GET", f"/v2/routes/{public}")).json()
        assert shown["match"] == {"path": "/*"}
    finally:
        assert (await admin.call("DELETE", f"/v2/routes/{public}")).status_code == 204


# paths


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("orders", "must start with /"),
        ("/a b", "/a%20b for a blank"),
        ("/ü/*", "percent-encode"),
        ("/a\\b", "percent-encode"),
        ("/%41", "write A for %41"),
        ("/a%2Fb/*", "%2F"),
        ("/a/../b", "write the path without them"),
        ("/./*", "write the path without them"),
        ("//x", "write one slash"),
        ("//x/*", "write one slash"),
        ("/a?x=1", "queryParams"),
        ("/a#b", "must not hold ? or #"),
        ("/a{b}", "whole segment"),
        ("/a b/{c}", "percent-encode"),
        ({"type": "Prefix", "value": "/users/{id}"}, "of type Template"),
        ({"type": "Regex", "value": "/(a"}, "missing )"),
    ],
)
async def test_a_path_that_no_request_has_is_refused_with_what_to_write_instead(
    admin: AdminRun, body: dict[str, Any], path: Any, remedy: str
) -> None:
    answer = await admin.call("POST", "/v2/routes", body | {"match": {"path": path}})
    place = "/match/path" if isinstance(path, str) else "/match/path/value"
    assert_refused(answer, place, remedy)
    assert body["name"] not in await names(admin)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/%C3%BC/*", "/%C3%BC/x"),
        ("/a%20b", "/a%20b"),
        ("/odd-%zz", "/odd-%zz"),
        ("/~a/!$&'()+,;=:@", "/~a/!$&'()+,;=:@"),
        ("/[a]/...", "/[a]/..."),
        ({"type": "Prefix", "value": "/slashes//"}, "/slashes/x"),
        ({"type": "Exact", "value": "/star*"}, "/star*"),
    ],
)
async def test_every_path_that_some_request_has_is_served(
    admin: AdminRun, body: dict[str, Any], path: Any, asked: str
) -> None:
    public = await created(admin, body | {"match": {"path": path}})
    assert (await admin.gateway.get(asked)).status == 200
    assert (await admin.call("DELETE", f"/v2/routes/{public}")).status_code == 204


# JSON


async def test_a_key_that_is_there_twice_is_named(admin: AdminRun) -> None:
    text = (
        b'{"name": "twice", "match": {"path": "/a", "path": "/b"}, "upstream": "http://a.example"}'
    )
    headers = {"x-fluxgate-key": admin.key, "content-type": "application/json"}
    answer = await admin.client.post("/v2/routes", headers=headers, content=text)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"] == "invalid_request"
    assert [each["pointer"] for each in answer.json()["problems"]] == ["/match/path"]
    assert "/match/path: the key is there more than once" in answer.json()["message"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b'{"name": "a", "priority": 1e400}', "1e400"),
        (b'{"name": "a", "priority": Infinity}', "expected value"),
        (b'{"name": "a", "priority": ' + b"9" * 5000 + b"}", "out of range"),
        (b'{"name": "\\udc00"}', "only in pairs"),
        (b'{"a":' * 5000, "nested too deeply"),
        (
            b'{"name": "a", "match": {"path": "/a"}, "plugins": [{"id": "cors", "config": {"a": '
            + b'{"a":' * 150
            + b"1"
            + b"}" * 152
            + b"]}",
            "nested more than 64 levels deep",
        ),
        (b'{"name": "a", "match": {"path": "/a\\u0000b"}, "upstream": "http://a.example"}', "path"),
        (b"null", "the body"),
        (b'{"name": "a"}', "/match: is required"),
    ],
)
async def test_what_cannot_be_read_is_refused_in_words(
    admin: AdminRun, text: bytes, word: str
) -> None:
    headers = {"x-fluxgate-key": admin.key, "content-type": "application/json"}
    answer = await admin.client.post("/v2/routes", headers=headers, content=text)
    assert 400 <= answer.status_code < 500, answer.text
    assert word in answer.json()["message"]


# at the same moment


async def test_of_many_who_create_one_match_at_once_one_gets_it(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    bodies = [body | {"name": f"{body['name']}-{number}"} for number in range(20)]
    answers = await asyncio.gather(*(admin.call("POST", "/v2/routes", each) for each in bodies))
    assert Counter(each.status_code for each in answers) == {201: 1, 422: 19}
    (made,) = [each.json() for each in answers if each.status_code == 201]
    assert made["sync_status"] == "propagated_to_all_nodes"
    there = {each["name"] for each in bodies} & await names(admin)
    assert len(there) == 1
    for each in answers:
        if each.status_code == 422:
            # in a folder nothing is older than anything else
            assert "which comes first by name" in each.json()["message"], each.text


async def test_of_many_who_create_one_name_at_once_one_gets_it(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    bodies = [body | {"match": {"path": f"/{body['name']}/{number}/*"}} for number in range(20)]
    answers = await asyncio.gather(*(admin.call("POST", "/v2/routes", each) for each in bodies))
    assert Counter(each.status_code for each in answers) == {201: 1, 409: 19}


async def test_a_batch_and_a_single_write_of_one_match_are_not_both_made(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    spec = {
        "matches": [{"path": {"type": "Prefix", "value": f"/{body['name']}/"}}],
        "backends": [{"url": body["upstream"]}],
        "auth": {"mode": "None"},
    }
    document = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Route",
        "metadata": {"namespace": "default", "name": f"{body['name']}-batch"},
        "spec": spec,
    }
    batch, single = await asyncio.gather(
        admin.call("POST", "/v2/objects:apply", {"objects": [{"document": document}]}),
        admin.call("POST", "/v2/routes", body),
    )
    outcomes = [batch.json()["results"][0]["outcome"] == "created", single.status_code == 201]
    assert sorted(outcomes) == [False, True], (batch.text, single.text)
    assert len({f"{body['name']}-batch", body["name"]} & await names(admin)) == 1
