"""The admin API over a real API server: defaults it fills in, statuses it gets, and others who write there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from cluster.controller.conftest import Site
from cluster.controller.test_observer import observing
from support.admin_gateway import first_key_for

from fluxgate_cli.admin.process import Place, World, serving_admin
from fluxgate_operator.resource_clients.kubernetes import KubernetesResources

pytestmark = pytest.mark.envoy


@dataclass
class Admin:
    """The API, and the API server behind it. No node is connected, so nobody waits for one."""

    site: Site
    client: httpx.AsyncClient

    async def call(
        self, method: str, url: str, body: object = None, **headers: str
    ) -> httpx.Response:
        wait = "&wait=none" if "?" in url else "?wait=none"
        target = url if method == "GET" else url + wait
        return await self.client.request(method, target, json=body, headers=headers)

    async def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        whole = (*arguments, "-n", self.site.namespace)
        return await asyncio.to_thread(self.site.plane.kubectl, *whole, stdin=stdin)

    async def kept(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            await self.kubectl("get", "routes.gateway.fluxgate.io", name, "-o", "json")
        )
        return found

    def body(self, name: str) -> dict[str, Any]:
        return {
            "name": name,
            "namespace": self.site.namespace,
            "match": {"path": f"/{name}/*", "headers": {"X-A": "b"}},
            "upstream": "http://127.0.0.1:9",
            "retries": 2,
            "auth": {"mode": "None"},
        }


@pytest.fixture
async def admin(site: Site, tmp_path: Path) -> AsyncIterator[Admin]:
    log = structlog.get_logger()
    await asyncio.to_thread(site.apply, site.gateway)
    settings, key = await first_key_for(tmp_path)
    async with (
        observing(site) as observer,
        KubernetesResources(observer.access, log, namespaces=(site.namespace,)) as resources,
        serving_admin(
            Place(port=0),
            lambda url: replace(settings, issuer=url),
            World(observer.parts.plane, observer.parts.trials, resources, None, (site.namespace,)),
            log,
        ) as serving,
        httpx.AsyncClient(
            base_url=serving.url, timeout=60, headers={"x-fluxgate-key": key}
        ) as client,
    ):
        yield Admin(site, client)


async def test_defaults_that_the_api_server_fills_in_are_no_change(admin: Admin) -> None:
    made = await admin.call("POST", "/v2/routes", admin.body("a"))
    assert made.status_code == 201, made.text
    url = made.headers["location"]
    read = await admin.call("GET", url)
    assert read.headers["etag"] == made.headers["etag"]
    assert read.json()["created_at"] == made.json()["created_at"]
    before = await admin.kept("a")
    assert before["spec"]["matches"][0]["headers"][0]["type"] == "Exact", "a default"
    for again in (admin.body("a"), {key: read.json()[key] for key in admin.body("a")}):
        answer = await admin.call("PUT", url, again)
        assert answer.status_code == 200, answer.text
        assert answer.headers["etag"] == made.headers["etag"]
    assert (await admin.kept("a"))["metadata"]["resourceVersion"] == (
        before["metadata"]["resourceVersion"]
    )
    history = await admin.call("GET", "/v2/history?kind=Route")
    assert [each["change"] for each in history.json()["data"]] == ["created"]
    assert history.json()["data"][0]["author"].startswith("key:bootstrap")


async def test_a_status_is_no_other_version_and_an_edit_is(admin: Admin) -> None:
    made = await admin.call("POST", "/v2/routes", admin.body("a"))
    url, etag = made.headers["location"], made.headers["etag"]
    patch = json.dumps({"status": {"conditions": []}})
    await admin.kubectl(
        *("patch", "routes.gateway.fluxgate.io", "a", "--subresource=status", "--type=merge"),
        *("-p", patch),
    )
    answer = await admin.call("PATCH", url, {"timeout": "5s"}, **{"if-match": etag})
    assert answer.status_code == 200, answer.text
    edit = json.dumps({"spec": {"description": "by hand"}})
    await admin.kubectl("patch", "routes.gateway.fluxgate.io", "a", "--type=merge", "-p", edit)
    late = {"if-match": answer.headers["etag"]}
    answer = await admin.call("PATCH", url, {"timeout": "6s"}, **late)
    assert answer.status_code == 412, answer.text
    answer = await admin.call("PATCH", url, {"timeout": "6s"})
    assert answer.status_code == 200
    assert (await admin.kept("a"))["spec"]["description"] == "by hand"


async def test_what_others_put_on_an_object_stays(admin: Admin) -> None:
    made = await admin.call("POST", "/v2/routes", admin.body("a"))
    patch = {"metadata": {"finalizers": ["example.com/hold"]}}
    await admin.kubectl(
        *("patch", "routes.gateway.fluxgate.io", "a", "--type=merge", "-p", json.dumps(patch))
    )
    url = made.headers["location"]
    assert (await admin.call("PUT", url, admin.body("a") | {"priority": 3})).status_code == 200
    kept = await admin.kept("a")
    assert kept["metadata"]["finalizers"] == ["example.com/hold"]
    await admin.kubectl(
        *("patch", "routes.gateway.fluxgate.io", "a", "--type=merge"),
        *("-p", json.dumps({"metadata": {"finalizers": None}})),
    )


async def test_a_namespace_that_is_not_watched_is_refused_without_naming_those_that_are(
    admin: Admin,
) -> None:
    body = admin.body("a") | {"namespace": "no-such-namespace"}
    answer = await admin.call("POST", "/v2/routes", body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["problems"][0]["pointer"] == "/namespace"
    assert admin.site.namespace not in answer.text


async def test_several_who_write_one_route_at_once_succeed_one_after_the_other(
    admin: Admin,
) -> None:
    made = await admin.call("POST", "/v2/routes", admin.body("a"))
    url = made.headers["location"]
    labels = [{"labels": {"team": f"t{number}"}} for number in range(5)]
    answers = await asyncio.gather(*(admin.call("PATCH", url, each) for each in labels))
    assert {each.status_code for each in answers} == {200}
    history = (await admin.call("GET", "/v2/history?kind=Route")).json()["data"]
    assert [each["change"] for each in history] == ["updated"] * 5 + ["created"]
