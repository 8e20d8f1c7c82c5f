"""Writes that could not be tried, or not to the end: what is stored, and what the caller is told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin
from support.standalone import route
from support.upstream import EchoUpstream

from fluxgate_operator.controller.no_envoy import NoValidator
from fluxgate_operator.envoy.validate import EnvoyValidator

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]
_names = (f"untried-{number}" for number in itertools.count(1))
_SECONDS = 2.0


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(
    tmp_path_factory: pytest.TempPathFactory, echo: EchoUpstream
) -> AsyncIterator[AdminRun]:
    files = {"hand.yaml": route("by-hand", "/by-hand", echo.port)}
    folder = tmp_path_factory.mktemp("admin")
    async with running_admin(folder, files, trial_seconds=_SECONDS) as run:
        yield run


@pytest.fixture
def body(echo: EchoUpstream) -> dict[str, Any]:
    name = next(_names)
    return {
        "name": name,
        "match": {"path": f"/{name}/*"},
        "upstream": f"http://127.0.0.1:{echo.port}",
        "auth": {"mode": "None"},
    }


class Line(asyncio.Semaphore):
    """Says when somebody comes."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.asked = asyncio.Event()

    async def acquire(self) -> Literal[True]:
        self.asked.set()
        return await super().acquire()


def backend(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"url": "http://127.0.0.1:9000"},
    }


@pytest.fixture
def silent(admin: AdminRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trials ask an Envoy that is killed before it answers."""
    killed = tmp_path / "envoy"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    asks(admin, monkeypatch, EnvoyValidator(killed))


def asks(admin: AdminRun, monkeypatch: pytest.MonkeyPatch, validator: object) -> None:
    monkeypatch.setattr(admin.gateway.gateway.trials._question, "_validator", validator)


@pytest.fixture
def crowded(admin: AdminRun, monkeypatch: pytest.MonkeyPatch) -> Line:
    """As many trials are under way as there may be, until the first of them ends."""
    line = Line(0)
    monkeypatch.setattr(admin.gateway.gateway.trials, "_line", line)
    return line


def doubts(answer: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["reason"], each["source"]) for each in answer.get("warnings", [])]


@pytest.mark.usefixtures("silent")
async def test_what_envoy_was_silent_about_is_stored_and_served_and_every_answer_says_so(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    silence = [("EnvoySilent", "trial")]
    made = await admin.call("POST", "/v2/routes", body)
    assert made.status_code == 201, made.text
    assert made.json()["sync_status"] == "propagated_to_all_nodes"
    assert doubts(made.json()) == silence
    assert "could not check" in made.json()["warnings"][0]["message"]
    assert (await admin.gateway.get(f"/{body['name']}/x")).status == 200

    url = f"/v2/routes/{made.json()['id']}"
    changed = await admin.call("PATCH", url, {"timeout": "7s"})
    assert (changed.status_code, doubts(changed.json())) == (200, silence)
    assert doubts((await admin.call("GET", url)).json()) == []

    revision = (await admin.call("GET", "/v2/history?limit=1")).json()["data"][0]["revision"]
    back = await admin.call("POST", f"/v2/history/{revision}/rollback", {"state": "before"})
    assert (back.status_code, doubts(back.json())) == (200, silence)


async def test_a_deletion_that_was_not_tried_to_its_end_has_a_body_to_say_so(
    admin: AdminRun, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [{"document": document} for document in routed(body)]
    made = await admin.call("POST", "/v2/objects:apply", {"objects": objects})
    assert made.status_code == 200, made.text
    asks(admin, monkeypatch, NoValidator("there is no Envoy here"))
    url = f"/v2/objects/Backend/default/{body['name']}?force=true"
    gone = await admin.call("DELETE", url)
    assert (gone.status_code, gone.json()["status"]) == (200, "deleted")
    assert ("NoEnvoy", "trial") in doubts(gone.json())
    # a route that goes gives Envoy nothing that it could refuse
    again = await admin.call("DELETE", f"/v2/objects/Route/default/{body['name']}")
    assert (again.status_code, again.content) == (204, b"")


@pytest.mark.usefixtures("silent")
async def test_a_batch_says_so_once_for_all_its_objects(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    objects = [{"document": document} for document in routed(body)]
    made = await admin.call("POST", "/v2/objects:apply", {"objects": objects})
    assert made.status_code == 200, made.text
    found = made.json()
    assert [each["outcome"] for each in found["results"]] == ["created", "created"]
    assert (found["checked_by_envoy"], found["not_tried"]) == (False, "EnvoySilent")
    assert doubts(found) == [("EnvoySilent", "trial")]


def routed(body: dict[str, Any]) -> list[dict[str, Any]]:
    name = body["name"]
    sent = {"kind": "Backend", "name": name}
    spec = {
        "matches": [{"path": {"value": f"/{name}"}}],
        "auth": {"mode": "None"},
        "backends": [sent],
    }
    return [backend(name), {**backend(name), "kind": "Route", "spec": spec}]


async def test_dry_runs_and_validate_say_that_there_is_no_envoy(
    admin: AdminRun, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asks(admin, monkeypatch, NoValidator("there is no Envoy here"))
    answers = (
        await admin.call("POST", "/v2/routes?dry_run=true", body),
        await admin.call("POST", "/v2/config/validate", {"routes": [body]}),
    )
    for answer in answers:
        found = answer.json()
        assert (answer.status_code, found["valid"]) == (200, True)
        assert (found["checked_by_envoy"], found["not_tried"]) == (False, "NoEnvoy")
        assert "there is no Envoy here" in found["note"]
        assert doubts(found) == [("NoEnvoy", "trial")]


async def test_what_envoy_need_not_be_asked_is_told_apart_from_what_it_was_not_asked(
    admin: AdminRun, body: dict[str, Any]
) -> None:
    unused = await admin.call("POST", "/v2/config/validate", {"objects": [backend(next(_names))]})
    found = unused.json()
    assert (found["checked_by_envoy"], found["not_tried"], found["note"]) == (False, None, None)

    lost = body | {"upstream": [{"kind": "Backend", "name": "nobody"}]}
    found = (await admin.call("POST", "/v2/config/validate", {"routes": [lost]})).json()
    assert (found["valid"], found["not_tried"]) == (False, "Refused")
    assert "Envoy comes after" in found["note"]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.usefixtures("crowded")
async def test_whose_turn_does_not_come_is_to_come_again_and_nothing_is_stored(
    admin: AdminRun, body: dict[str, Any], *, dry_run: bool
) -> None:
    before = (await admin.call("GET", "/v2/history?limit=1")).json()["data"][0]
    query = "?dry_run=true" if dry_run else ""
    batch = {"objects": [{"document": document} for document in routed(body)]}
    for target, sent in (("/v2/routes", body), ("/v2/objects:apply", batch)):
        answer = await admin.call("POST", f"{target}{query}", sent)
        assert (answer.status_code, answer.json()["error"]) == (503, "busy"), answer.text
        assert int(answer.headers["retry-after"]) > 0
    assert (await admin.call("GET", "/v2/history?limit=1")).json()["data"][0] == before
    names = {each["name"] for each in (await admin.call("GET", "/v2/routes")).json()["data"]}
    assert body["name"] not in names


async def test_the_same_request_with_its_key_is_made_when_the_line_has_moved_on(
    admin: AdminRun, body: dict[str, Any], crowded: Line
) -> None:
    key = {"idempotency-key": body["name"]}
    busy = await admin.call("POST", "/v2/routes", body, headers=key)
    assert busy.status_code == 503
    crowded.release()
    made = await admin.call("POST", "/v2/routes", body, headers=key)
    assert (made.status_code, "warnings" in made.json()) == (201, False)


async def test_who_waits_in_line_is_served_when_its_turn_comes(
    admin: AdminRun, body: dict[str, Any], crowded: Line
) -> None:
    waiting = asyncio.create_task(admin.call("POST", "/v2/routes", body))
    async with asyncio.timeout(60):
        await crowded.asked.wait()
    crowded.release()
    assert (await waiting).status_code == 201


async def test_before_anything_is_read_writes_are_to_come_again(
    admin: AdminRun, body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.gateway.gateway.trials, "_current", lambda: None)
    for query in ("", "?dry_run=true"):
        answer = await admin.call("POST", f"/v2/routes{query}", body)
        assert (answer.status_code, answer.json()["error"]) == (503, "not_ready")
        assert int(answer.headers["retry-after"]) > 0
