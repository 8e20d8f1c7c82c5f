"""Two tenants: what one owns does not exist for the other, whatever it asks and however."""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin

from fluxgate.resources import ObjectRef
from fluxgate_admin.ids import public_id

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MINE, THEIRS, NOBODYS = "tenant-a", "tenant-b", "tenant-z"
EVERYTHING_OF_A_TENANT = (
    "routes:write",
    "plugins:write",
    "backends:write",
    "upstreams:write",
    "configs:admin",
    "apikeys:write",
    "tenants:write",
    "history:write",
    "nodes:read",
    "audit:read",
)
ONE_OF_BOTH = "both-tenants"
"""The organisation whose teams they are."""


def objects(namespace: str, mark: str) -> Iterator[dict[str, Any]]:
    """One object of every kind that a tenant has, each with a mark that occurs nowhere else."""
    specs: dict[str, dict[str, Any]] = {
        "Upstream": {"targets": [{"host": f"{mark}.example.com", "port": 80}]},
        "Backend": {"upstream": f"{mark}-upstream"},
        "Plugin": {"type": "rate-limit", "config": {"requests": 5}, "description": mark},
        "Route": {
            "matches": [{"path": {"type": "Prefix", "value": f"/{mark}/"}}],
            "backends": [{"name": f"{mark}-backend"}],
            "plugins": [{"name": f"{mark}-plugin"}],
            "auth": {"mode": "None"},
        },
    }
    for kind, spec in specs.items():
        yield {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": kind,
            "metadata": {"namespace": namespace, "name": f"{mark}-{kind.lower()}"},
            "spec": spec,
        }


@dataclass
class Tenants:
    """A gateway that serves both; the caller is the tenant ``MINE``.

    ``calls`` are the ids of its own calls.
    """

    admin: AdminRun
    key: str
    their_key: str
    mark: str = "bmark"
    revisions: list[int] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)

    def ref(self, kind: str) -> ObjectRef:
        return ObjectRef(kind, THEIRS, f"{self.mark}-{kind.lower()}")

    async def ask(
        self, method: str, url: str, body: object = None, **headers: str
    ) -> httpx.Response:
        answer = await self.admin.call(method, url, body, key=self.key, headers=headers)
        self.calls.add(answer.headers["x-request-id"])
        return answer


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def tenants(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenants]:
    async with running_admin(tmp_path_factory.mktemp("admin"), {}) as admin:
        for namespace, mark in ((MINE, "amark"), (THEIRS, "bmark")):
            for each in objects(namespace, mark):
                name = each["metadata"]["name"]
                url = f"/v2/objects/{each['kind']}/{namespace}/{name}?reason={mark}"
                answer = await admin.call("PUT", url, each)
                assert answer.status_code == 201, answer.text
        key, their_key = [
            await admin.key_for(
                *EVERYTHING_OF_A_TENANT, namespaces=frozenset((each,)), organisation=ONE_OF_BOTH
            )
            for each in (MINE, THEIRS)
        ]
        found = Tenants(admin, key, their_key)
        history = (await admin.call("GET", f"/v2/history?namespace={THEIRS}&limit=500")).json()
        found.revisions = [each["revision"] for each in history["data"]]
        for url in ("/v2/routes?limit=1", "/v2/plugins?limit=1"):
            found.cursors.append((await admin.call("GET", url)).json()["after"])
        yield found


def normal(answer: httpx.Response, *echoed: str) -> tuple[int, str]:
    """An answer without what differs from request to request, and without what the request said itself."""
    text = re.sub(r"req_[0-9a-f]+", "req", answer.text)
    for each in echoed:
        text = text.replace(each, "ECHO")
    return answer.status_code, text


BODIES: dict[str, Any] = {
    "/v2/routes/{id}": {"name": "x", "match": {"path": "/x"}},
    "/v2/plugins/{id}": {"name": "x", "type": "cors"},
    "/v2/plugins/{id}/config": {},
}


@pytest.mark.parametrize("query", ["", "?dry_run=true", "?force=true", f"?namespace={THEIRS}"])
@pytest.mark.parametrize(
    ("method", "url", "kind"),
    [
        ("GET", "/v2/routes/{id}", "Route"),
        ("PATCH", "/v2/routes/{id}", "Route"),
        ("PUT", "/v2/routes/{id}", "Route"),
        ("DELETE", "/v2/routes/{id}", "Route"),
        ("GET", "/v2/plugins/{id}", "Plugin"),
        ("PUT", "/v2/plugins/{id}", "Plugin"),
        ("DELETE", "/v2/plugins/{id}", "Plugin"),
        ("GET", "/v2/plugins/{id}/config", "Plugin"),
        ("PUT", "/v2/plugins/{id}/config", "Plugin"),
    ],
)
async def test_an_id_of_others_answers_as_one_that_is_nobodys(
    tenants: Tenants, method: str, url: str, kind: str, query: str
) -> None:
    theirs = public_id(tenants.ref(kind))
    nobodys = public_id(ObjectRef(kind, NOBODYS, "nothing"))
    body = None if method in ("GET", "DELETE") else {} if method == "PATCH" else BODIES[url]
    found = [
        normal(await tenants.ask(method, url.format(id=each) + query, body), each)
        for each in (theirs, nobodys)
    ]
    assert found[0] == found[1]
    assert found[0][0] in (404, 400)
    assert not query or found[0][0] == 404 or "unknown parameter" in found[0][1]


@pytest.mark.parametrize(
    "kind", ["Route", "Backend", "Upstream", "Plugin", "GatewayConfig", "Tenant"]
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_name_of_others_answers_as_one_that_is_nobodys(
    tenants: Tenants, method: str, kind: str
) -> None:
    found = []
    for ref in (tenants.ref(kind), ObjectRef(kind, NOBODYS, tenants.ref(kind).name)):
        body = {
            "apiVersion": "gateway.fluxgate.io/v1alpha1",
            "kind": kind,
            "metadata": {"namespace": ref.namespace, "name": ref.name},
            "spec": {},
        }
        url = f"/v2/objects/{kind}/{ref.namespace}/{ref.name}"
        answer = await tenants.ask(method, url, body if method == "PUT" else None)
        found.append(normal(answer, ref.namespace))
    assert found[0] == found[1]
    assert found[0][0] == 404


async def test_revisions_of_others_answer_as_those_there_are_not(tenants: Tenants) -> None:
    assert tenants.revisions
    for number in tenants.revisions:
        for method, suffix in (("GET", ""), ("GET", "/diff"), ("POST", "/rollback")):
            theirs = await tenants.ask(method, f"/v2/history/{number}{suffix}")
            nobodys = await tenants.ask(method, f"/v2/history/9999{suffix}")
            assert normal(theirs, str(number)) == normal(nobodys, "9999")
            assert theirs.status_code == 404


async def test_lists_hold_only_what_is_mine(tenants: Tenants) -> None:
    urls = [
        *("/v2/routes", "/v2/plugins", "/v2/history", "/v2/nodes", "/v2/config/global"),
        *(f"/v2/{each}?namespace={THEIRS}" for each in ("routes", "plugins", "history")),
        *(f"/v2/objects?kind={kind}" for kind in ("Route", "Backend", "Upstream", "Plugin")),
        *(f"/v2/objects?kind={kind}&namespace={THEIRS}" for kind in ("Route", "Upstream")),
        f"/v2/history?kind=Route&name=bmark-route&namespace={THEIRS}",
        *(f"/v2/routes?after={cursor}" for cursor in tenants.cursors[:1]),
    ]
    for url in urls:
        answer = await tenants.ask("GET", url)
        assert tenants.mark not in answer.text, url
        assert THEIRS not in answer.text.replace(url, ""), url
    mine = (await tenants.ask("GET", "/v2/routes")).json()["data"]
    assert [each["name"] for each in mine] == ["amark-route"]
    assert (await tenants.ask("GET", f"/v2/routes?namespace={THEIRS}")).json()["data"] == []


async def test_explain_and_dry_runs_do_not_know_what_is_not_mine(tenants: Tenants) -> None:
    theirs = await tenants.ask("POST", "/v2/explain", {"url": "/bmark/x"})
    nobodys = await tenants.ask("POST", "/v2/explain", {"url": "/zmark/x"})
    assert normal(theirs, "/bmark/x") == normal(nobodys, "/zmark/x")
    assert theirs.json()["route"] is None
    plugin = public_id(tenants.ref("Plugin"))
    for reference in (
        {"upstream": [{"name": "bmark-backend"}]},
        {"plugins": [{"id": plugin}]},
        {"plugins": [{"id": "bmark-plugin"}]},
    ):
        body = {"name": "mine", "match": {"path": "/mine/*"}, **reference}
        answer = await tenants.ask("POST", "/v2/routes", body)
        assert answer.status_code == 422, answer.text
    claimed = {"name": "mine", "match": {"path": "/bmark/*"}, "upstream": "http://example.com"}
    answer = await tenants.ask("POST", "/v2/routes", claimed | {"auth": {"mode": "None"}})
    assert "bmark-" not in answer.text, answer.text
    assert THEIRS not in answer.text
    answer = await tenants.ask("POST", "/v2/routes", claimed | {"namespace": THEIRS})
    assert answer.status_code == 404


async def test_the_log_of_calls_holds_only_my_own(tenants: Tenants) -> None:
    mine = f"/v2/objects/Route/{MINE}/amark-route"
    theirs = f"/v2/objects/Route/{THEIRS}/bmark-route"
    own = (await tenants.ask("GET", mine)).headers["x-request-id"]
    hidden = [
        await tenants.admin.call("GET", theirs, key=tenants.their_key),
        await tenants.admin.call("GET", "/v2/routes", key=tenants.their_key),
        await tenants.admin.call("PUT", f"{theirs}?dry_run=true", {}, key=tenants.their_key),
        await tenants.admin.call("GET", theirs),
        await tenants.admin.call("GET", mine),
        await tenants.ask("GET", theirs),
        await tenants.admin.client.get(theirs),
    ]
    whole = await tenants.ask("GET", "/v2/audit?limit=500")
    told = {each["request_id"] for each in whole.json()["data"]}
    assert own in told
    assert told <= tenants.calls
    assert THEIRS not in whole.text
    assert "bmark" not in whole.text
    nobodys = normal(await tenants.ask("GET", "/v2/audit?request_id=req_0000"))
    assert nobodys == (200, '{"data":[],"has_more":false,"after":null}')
    for each in hidden:
        id_ = each.headers["x-request-id"]
        assert normal(await tenants.ask("GET", f"/v2/audit?request_id={id_}")) == nobodys
        everything = await tenants.admin.call("GET", f"/v2/audit?request_id={id_}")
        assert len(everything.json()["data"]) == 1
    for query in (f"path=/v2/objects/Route/{THEIRS}", "principal=key:bootstrap", "status=401"):
        assert normal(await tenants.ask("GET", f"/v2/audit?{query}")) == nobodys


async def test_whatever_a_tenant_sends_it_never_learns_or_touches_what_others_own(
    tenants: Tenants,
) -> None:
    before = await everything_of_theirs(tenants)
    chance = random.Random(20_301)
    document = (await tenants.admin.client.get("/openapi.json")).json()
    calls = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/v2/") and not path.startswith("/v2/auth")
    ]
    statuses: dict[int, int] = {}
    for _ in range(400):
        method, path, operation = chance.choice(calls)
        url = fill(path, tenants, chance)
        query = {
            each["name"]: chance.choice(values)
            for each in operation.get("parameters", ())
            if each["in"] == "query" and (values := GUESSES.get(each["name"]))
            if chance.random() < 0.5
        }
        body = None
        if "requestBody" in operation:
            body = chance.choice(BODIES_TO_TRY)(tenants, chance)
        request = tenants.admin.client.build_request(method, url, params=query, json=body)
        request.headers["x-fluxgate-key"] = tenants.key
        answer = await tenants.admin.client.send(request)
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        said = f"{request.url} {request.content.decode()}"
        where = f"{method} {said} -> {answer.status_code} {answer.text}"
        assert answer.status_code < 500, where
        tenants.calls.add(answer.headers["x-request-id"])
        if path == "/v2/audit" and answer.status_code == 200:
            # it repeats what the tenant has sent before, and names no namespace of others even so
            told = {each["request_id"] for each in answer.json()["data"]}
            assert told <= tenants.calls, where
            assert THEIRS not in answer.text, where
            continue
        for secret in ("bmark-route", "bmark-plugin", "bmark-backend", "bmark-upstream", THEIRS):
            assert secret not in answer.text or secret in said, where
    assert await everything_of_theirs(tenants) == before
    assert statuses.keys() >= {200, 404, 422}, statuses


async def everything_of_theirs(tenants: Tenants) -> Any:
    found = []
    for kind in ("Route", "Backend", "Upstream", "Plugin"):
        answer = await tenants.admin.call("GET", f"/v2/objects?kind={kind}&namespace={THEIRS}")
        found.append([each["document"] for each in answer.json()["data"]])
    history = await tenants.admin.call("GET", f"/v2/history?namespace={THEIRS}&limit=500")
    return [*found, history.json()["data"]]


GUESSES: dict[str, list[str]] = {
    "namespace": [MINE, THEIRS, NOBODYS],
    "kind": ["Route", "Plugin", "Backend", "Upstream", "GatewayConfig"],
    "name": ["amark-route", "bmark-route"],
    "gateway": ["main", "standalone", "bmark"],
    "dry_run": ["true", "false"],
    "force": ["true"],
    "wait": ["none"],
    "limit": ["1", "500"],
    "author": ["key:bootstrap"],
    "principal": ["key:bootstrap"],
    "path": ["/v2/", f"/v2/objects/Route/{THEIRS}"],
    "status": ["404", "2xx"],
    "outcome": ["accepted", "refused"],
}


def fill(path: str, tenants: Tenants, chance: random.Random) -> str:
    kind = chance.choice(["Route", "Plugin", "Backend", "Upstream", "GatewayConfig"])
    known = "Plugin" if "/plugins/" in path else "Route"
    theirs = tenants.ref(kind)
    parts = {
        "id": public_id(chance.choice([tenants.ref(known), ObjectRef(known, NOBODYS, "x")])),
        "kind": kind,
        "namespace": chance.choice([MINE, THEIRS]),
        "name": chance.choice([theirs.name, f"amark-{kind.lower()}"]),
        "revision": str(chance.choice([*tenants.revisions, 9999])),
    }
    if (kind, parts["namespace"]) != ("GatewayConfig", "default") and "amark" in parts["name"]:
        parts["namespace"] = chance.choice([THEIRS, NOBODYS])
    return re.sub(r"\{(\w+)\}", lambda match: parts[match[1]], path)


def _route(tenants: Tenants, chance: random.Random) -> Any:
    return {
        "name": f"guess-{chance.randrange(5)}",
        "namespace": chance.choice([MINE, THEIRS]),
        "match": {"path": chance.choice(["/bmark/*", "/guess/*"])},
        "upstream": [{"name": chance.choice(["bmark-backend", "amark-backend"])}],
        "plugins": [{"id": chance.choice(["bmark-plugin", public_id(tenants.ref("Plugin"))])}],
    }


def _document(tenants: Tenants, chance: random.Random) -> Any:
    kind = chance.choice(["Route", "Plugin", "Backend", "Upstream"])
    made = next(each for each in objects(THEIRS, "bmark") if each["kind"] == kind)
    return json.loads(json.dumps(made))


BODIES_TO_TRY = (
    _route,
    _document,
    lambda tenants, chance: {"objects": [{"document": _document(tenants, chance)}]},
    lambda tenants, chance: {"routes": [_route(tenants, chance)]},
    lambda tenants, chance: {"objects": [_document(tenants, chance)]},
    lambda _t, _c: {"delete": [{"kind": "Route", "namespace": THEIRS, "name": "bmark-route"}]},
    lambda _t, _c: {"url": "/bmark/x"},
    lambda _t, _c: {"cors": {"allow_origins": ["*"]}},
    lambda _t, _c: {},
)
