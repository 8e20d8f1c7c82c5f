"""What the admin API answers, and what history says afterwards, when the database or the process goes."""

from __future__ import annotations

import base64
import secrets
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from support.admin_gateway import AdminRun, running_admin
from support.admin_serve import bootstrap
from support.fluxgate_run import FluxgateRun, environment, fluxgate_run
from support.history import until
from support.postgres import Postgres
from support.standalone import GATEWAY

from fluxgate.ports import Stored
from fluxgate.ports.resources import Document
from fluxgate_operator.resource_clients.directory import DirectoryResources

pytestmark = pytest.mark.envoy

ROUTE = {
    "name": "orders",
    "match": {"path": "/orders/*"},
    "upstream": "http://127.0.0.1:9",
}


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server that the test may stop."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


class Interrupted(DirectoryResources):
    """A folder, and what happens right after an object was created in it."""

    then: Callable[[], None]

    async def create(self, document: Document, *, dry_run: bool = False) -> Stored:
        stored = await super().create(document, dry_run=dry_run)
        self.then()
        return stored


async def revisions(admin: AdminRun) -> list[tuple[str, str, str]]:
    """What history has of Routes: change, the kind of its author, reason."""
    answer = await admin.call("GET", "/v2/history?kind=Route")
    assert answer.status_code == 200, answer.text
    return [
        (each["change"], each["author"].partition(" ")[0], each["reason"])
        for each in answer.json()["data"]
    ]


async def test_while_the_database_is_away_nothing_is_written_and_the_gateway_serves(
    tmp_path: Path, postgres: Postgres
) -> None:
    async with running_admin(tmp_path, {}, database=postgres.new_database()) as admin:
        await admin.call("POST", "/v2/routes", ROUTE)
        before = set(admin.gateway.folder.rglob("*.yaml"))
        postgres.stop()
        more = {**ROUTE, "name": "more", "match": {"path": "/more/*"}}
        refused = await admin.call("POST", "/v2/routes", more)
        assert (refused.status_code, refused.json()["error"]) == (503, "unavailable")
        assert refused.headers["retry-after"] == "1"
        assert set(admin.gateway.folder.rglob("*.yaml")) == before
        assert (await admin.gateway.get("/orders/1")).status == 502, "nobody is at the upstream"
        assert (await admin.gateway.get("/elsewhere")).status == 404
        postgres.start()
        made = await admin.call("POST", "/v2/routes", more)
        assert made.status_code == 201, made.text


async def test_a_database_that_goes_in_the_middle_of_a_write_costs_neither_the_change_nor_its_author(
    tmp_path: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Interrupted, "then", postgres.stop, raising=False)
    monkeypatch.setattr("support.admin_gateway.DirectoryResources", Interrupted)
    async with running_admin(tmp_path, {}, database=postgres.new_database()) as admin:
        answer = await admin.call("POST", "/v2/routes?reason=ticket%201", ROUTE)
        assert answer.status_code == 201, answer.text
        assert answer.json()["sync_status"] == "propagated_to_all_nodes"
        postgres.start()

        async def recorded() -> bool:
            return await revisions(admin) == [("created", "key:bootstrap", "ticket 1")]

        await until(recorded, "the recorder completes what was announced")


# the process


KILLED_AFTER_THE_WRITE = """
import os, signal
from fluxgate_operator.resource_clients.directory import DirectoryResources

create = DirectoryResources.create

async def create_and_die(self, document, *, dry_run):
    await create(self, document, dry_run=dry_run)
    os.kill(os.getpid(), signal.SIGKILL)

DirectoryResources.create = create_and_die
from fluxgate_cli.main import main
main()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(GATEWAY)
    return tmp_path


def call(
    run: FluxgateRun, key: str, method: str, target: str, body: object = None
) -> httpx.Response:
    line = (run.home / "stdout").read_text()
    url = next(each for each in line.split() if each.startswith("admin=")).removeprefix("admin=")
    headers = {"x-fluxgate-key": key}
    return httpx.request(method, url + target, json=body, headers=headers, timeout=60)


def test_a_process_killed_between_the_write_and_its_record_leaves_one_revision_with_its_author(
    home: Path,
) -> None:
    variables = {
        "FLUXGATE_ADMIN_MASTER_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        "FLUXGATE_ADMIN_DATABASE": f"sqlite+aiosqlite:///{home / 'admin.db'}",
    }
    key = bootstrap({**environment(), **variables})["key"]
    options = ("--http-port", "0", "--admin-port", "0", "--admin-unsigned-writes")
    program = (sys.executable, "-c", KILLED_AFTER_THE_WRITE)
    with fluxgate_run(home, *options, variables=variables, program=program) as run:
        with pytest.raises(httpx.TransportError):
            call(run, key, "POST", "/v2/routes?reason=ticket%202", ROUTE)
        assert run.process.wait(20) == -signal.SIGKILL
    for _ in range(2):
        with fluxgate_run(home, *options, variables=variables) as run:

            def found(run: FluxgateRun = run) -> list[dict[str, str]]:
                return call(run, key, "GET", "/v2/history?kind=Route").json()["data"]

            run.until(found, "the revision")
            (revision,) = found()
            assert revision["author"].startswith("key:bootstrap (key_")
            assert (revision["change"], revision["reason"]) == ("created", "ticket 2")
            (route,) = call(run, key, "GET", "/v2/routes").json()["data"]
            assert route["name"] == "orders"
