"""The admin API on Kubernetes when the API server, or the process, goes in the middle of a write.

Real processes of ``fluxgate admin serve``, a real API server behind a proxy that fails, PostgreSQL.
"""

from __future__ import annotations

import base64
import json
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.admin_serve import AdminServe, admin_serve, bootstrap
from support.cluster import ControlPlane
from support.databases import migrated_template, postgres
from support.fault_proxy import FaultProxy, Seen
from support.fluxgate_run import environment
from support.postgres import Postgres

__all__ = ["migrated_template", "postgres"]

MANY = {
    "FLUXGATE_ADMIN_LIMIT_READS": "1000000",
    "FLUXGATE_ADMIN_LIMIT_WRITES": "1000000",
    "FLUXGATE_ADMIN_LIMIT_FAILURES": "1000000",
}


class Place:
    """A namespace, a database with a first key, and processes of the admin API over both."""

    def __init__(self, plane: ControlPlane, namespace: str, database: str) -> None:
        self.plane, self.namespace = plane, namespace
        self._variables = {
            **MANY,
            "FLUXGATE_ADMIN_DATABASE": database,
            "FLUXGATE_ADMIN_MASTER_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
            "FLUXGATE_ADMIN_DEFAULT_NAMESPACE": namespace,
        }
        self._first = bootstrap({**environment(), **self._variables})
        self._started = 0

    def process(
        self, kubeconfig: Path, program: tuple[str, ...] | None = None
    ) -> AbstractContextManager[AdminServe]:
        """One more of them, with the way it goes to the API server."""
        self._started += 1
        named = ("--identity", f"admin-{self._started}")
        more = {} if program is None else {"program": program}
        return admin_serve(
            kubeconfig, self.namespace, *named, first=self._first, **more, **self._variables
        )

    def paths(self) -> dict[str, str]:
        """The path of every Route that the API server has."""
        text = self.plane.kubectl(
            "get", "-n", self.namespace, "routes.gateway.fluxgate.io", "-o", "json"
        )
        return {
            each["metadata"]["name"]: each["spec"]["matches"][0]["path"]["value"]
            for each in json.loads(text)["items"]
        }


@pytest.fixture(scope="module")
def place(control_plane: ControlPlane, postgres: Postgres, migrated_template: str) -> Place:
    namespace = control_plane.new_namespace()
    gateway = {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "GatewayConfig",
        "metadata": {"name": "main", "namespace": namespace},
        "spec": {"listeners": [{"name": "http", "port": 8080}]},
    }
    control_plane.kubectl("apply", "-f", "-", stdin=json.dumps(gateway))
    return Place(control_plane, namespace, postgres.new_database(migrated_template))


@pytest.fixture(scope="module")
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    """Between one of the processes and the API server; each test heals it."""
    with FaultProxy(control_plane.url, control_plane.files) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def admin(place: Place, proxy: FaultProxy) -> Iterator[AdminServe]:
    """The process whose way to the API server fails."""
    with place.process(proxy.kubeconfig) as admin:
        yield admin


@pytest.fixture(scope="module")
def other(place: Place, admin: AdminServe) -> Iterator[AdminServe]:
    """The replica beside it."""
    with place.process(place.plane.kubeconfig) as other:
        yield other


def body(name: str, path: str = "") -> dict[str, Any]:
    return {"name": name, "match": {"path": path or f"/{name}"}, "upstream": "http://127.0.0.1:9"}


def history(admin: AdminServe, name: str = "") -> list[dict[str, Any]]:
    """The revisions of Routes, oldest first; of one name if it is given."""
    answer = admin.call("GET", "/v2/history?kind=Route&limit=500")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert not found["has_more"]
    return [each for each in reversed(found["data"]) if name in ("", each["object"]["name"])]


def told(revisions: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """What happened, by what kind of author, why."""
    return [
        (each["change"], each["author"].partition(" ")[0], each["reason"]) for each in revisions
    ]


def creates(seen: Seen) -> bool:
    return seen.method == "POST" and seen.path.endswith("/routes")


def test_without_the_api_server_a_write_is_refused_and_leaves_nothing(
    place: Place, proxy: FaultProxy, admin: AdminServe
) -> None:
    assert admin.call("POST", "/v2/routes?wait=none", body("there")).status_code == 201
    proxy.refuse()
    refused = admin.call("POST", "/v2/routes?wait=none", body("later"))
    assert (refused.status_code, refused.json()["error"]) == (503, "unavailable"), refused.text
    # what is known is shown all the same
    shown = {each["name"] for each in admin.call("GET", "/v2/routes").json()["data"]}
    assert shown & {"there", "later"} == {"there"}
    proxy.heal()
    made = admin.call("POST", "/v2/routes?wait=none&reason=again", body("later"))
    assert made.status_code == 201, made.text
    assert told(history(admin, "later")) == [("created", "key:bootstrap", "again")]
    assert place.paths().keys() >= {"there", "later"}


@pytest.mark.parametrize("repeatable", [False, True], ids=["", "with an idempotency key"])
def test_an_api_server_that_goes_before_it_answers_costs_neither_the_change_nor_its_author(
    place: Place, proxy: FaultProxy, admin: AdminServe, *, repeatable: bool
) -> None:
    name = f"lost-{int(repeatable)}"
    target = "/v2/routes?wait=none&reason=ticket%203"
    headers = {"idempotency-key": "once"} if repeatable else {}
    proxy.lose(creates)
    lost = admin.call("POST", target, body(name), headers)
    assert lost.status_code == 503, lost.text
    assert name in place.paths(), "it was stored"
    revisions = admin.until(lambda: history(admin, name), "the revision of what was stored")
    assert told(revisions) == [("created", "key:bootstrap", "ticket 3")]
    again = admin.call("POST", target, body(name), headers)
    assert again.status_code == (201 if repeatable else 409), again.text
    assert history(admin, name) == revisions
    proxy.heal()


KILLED_AFTER_THE_WRITE = """
import os, signal
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources

replace = KubernetesResources.replace

async def replace_and_die(self, document, version, *, dry_run):
    await replace(self, document, version, dry_run=dry_run)
    os.kill(os.getpid(), signal.SIGKILL)

KubernetesResources.replace = replace_and_die
from fluxgate_cli.main import main
main()
"""


def test_a_process_killed_before_it_recorded_a_write_is_completed_by_the_replica_beside_it(
    place: Place, other: AdminServe
) -> None:
    made = other.call("POST", "/v2/routes?wait=none", body("orders"))
    assert made.status_code == 201, made.text
    change = f"/v2/routes/{made.json()['id']}?wait=none&reason=ticket%204"
    killed = (sys.executable, "-c", KILLED_AFTER_THE_WRITE)
    with place.process(place.plane.kubeconfig, killed) as admin:
        with pytest.raises(httpx.TransportError):
            admin.call("PATCH", change, {"match": {"path": "/new"}})
        assert admin.process.wait(20) == -signal.SIGKILL
    assert place.paths()["orders"] == "/new"

    def complete() -> bool:
        return told(history(other, "orders"))[1:] == [("updated", "key:bootstrap", "ticket 4")]

    other.until(complete, "the revision of the write whose process died")
    # the caller, who got no answer, says it once more: it is so already
    revisions = history(other, "orders")
    assert other.call("PATCH", change, {"match": {"path": "/new"}}).status_code == 200
    assert history(other, "orders") == revisions


def test_two_replicas_at_once_lose_no_change_and_keep_none_twice(
    place: Place, admin: AdminServe, other: AdminServe
) -> None:
    names = ("a", "b", "c")
    ids = {}
    for name in names:
        made = admin.call("POST", "/v2/routes?wait=none", body(name))
        ids[name] = made.json()["id"]
        other.until(lambda id_=ids[name]: other.call("GET", f"/v2/routes/{id_}").is_success, name)
    accepted: dict[str, list[str]] = {name: [] for name in names}
    lock = threading.Lock()

    def write(number: int) -> None:
        replica, name = (admin, other)[number % 2], names[number % len(names)]
        change = {"match": {"path": f"/{name}/{number}"}}
        answer = replica.call("PATCH", f"/v2/routes/{ids[name]}?wait=none&reason={number}", change)
        # others may be faster again and again; then nothing is written, and that is said
        assert answer.status_code in (200, 409), answer.text
        if answer.status_code == 200:
            with lock:
                accepted[name].append(str(number))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(36)))
    assert sum(map(len, accepted.values())) >= 18
    for name in names:
        created, *updated = history(admin, name)
        assert created["change"] == "created"
        assert [each["change"] for each in updated] == ["updated"] * len(accepted[name])
        assert sorted(each["reason"] for each in updated) == sorted(accepted[name])
        # the newest revision is what is stored
        assert place.paths()[name] == f"/{name}/{updated[-1]['reason']}"
        assert history(other, name) == [created, *updated]


def test_of_two_replicas_one_alone_changes_the_version_that_both_were_told(
    place: Place, admin: AdminServe, other: AdminServe
) -> None:
    made = admin.call("POST", "/v2/routes?wait=none", body("versioned"))
    target = f"/v2/routes/{made.json()['id']}"
    other.until(lambda: other.call("GET", target).is_success, "the route at the other replica")
    etag = other.call("GET", target).headers["etag"]

    def write(replica: AdminServe) -> int:
        change = {"match": {"path": f"/{replica.process.pid}"}}
        return replica.call("PATCH", f"{target}?wait=none", change, {"if-match": etag}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(write, (admin, other))) == [200, 412]
    assert [each["change"] for each in history(admin, "versioned")] == ["created", "updated"]
