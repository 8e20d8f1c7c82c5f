"""Every operation for a caller of the cluster's, of whom no more is asked than the operation says it looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.admin_gateway import AdminRun, running_admin

from fluxgate.ports import ClusterIdentity
from fluxgate_admin.use_cases.scopes import READ, WRITE

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

EVERYTHING = frozenset((*READ.values(), *WRITE.values(), "nodes:read", "history:read"))
TOKEN = {"authorization": "Bearer of-the-cluster", "x-fluxgate-namespace": "*"}


class Cluster:
    """RBAC allows everything, and says so of what it is asked; ``asked`` is what that was, the last time."""

    def __init__(self) -> None:
        self.asked: frozenset[str] | None = None

    async def identify(self, token: str) -> ClusterIdentity | None:
        del token
        return ClusterIdentity("system:serviceaccount:shop:ci", "shop", "ci")

    async def scopes(
        self,
        identity: ClusterIdentity,
        namespace: str | None,
        wanted: frozenset[str] | None = None,
    ) -> frozenset[str]:
        del identity, namespace
        self.asked = wanted
        # the cluster gives nobody history:write: who rolls back has a credential of ours
        return EVERYTHING if wanted is None else wanted & EVERYTHING


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def admin(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster
) -> AsyncIterator[AdminRun]:
    folder = tmp_path_factory.mktemp("admin")
    async with running_admin(folder, {}, identities=cluster) as run:
        yield run


async def call(admin: AdminRun, method: str, url: str, body: object = None) -> httpx.Response:
    if body is None:
        return await admin.client.request(method, url, headers=TOKEN)
    return await admin.client.request(method, url, headers=TOKEN, json=body)


def document(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


PLUGIN = {"name": "hello", "type": "direct_response", "config": {"status": 200, "body": "hello"}}
ROUTE = {
    "name": "hello",
    "match": {"path": "/hello"},
    "upstream": "http://127.0.0.1:9",
    "plugins": [{"id": "hello"}],
    "auth": {"mode": "None"},
}
BACKEND = document("Backend", "there", {"url": "http://127.0.0.1:9"})
SHARED = document("Plugin", "shared", {"type": "cors", "config": {}})


async def test_one_scope_is_enough_for_each_operation_of_one_kind(
    admin: AdminRun, cluster: Cluster
) -> None:
    steps: list[tuple[str, str, object, int, str]] = [
        ("POST", "/v2/plugins", PLUGIN, 201, "plugins:write"),
        ("GET", "/v2/plugins", None, 200, "plugins:read"),
        ("PUT", "/v2/plugins/{plugin}/config", {"status": 201, "body": "x"}, 200, "plugins:write"),
        ("POST", "/v2/routes?dry_run=true", ROUTE, 200, "routes:write"),
        ("POST", "/v2/routes", ROUTE, 201, "routes:write"),
        ("GET", "/v2/routes", None, 200, "routes:read"),
        ("PATCH", "/v2/routes/{route}", {"match": {"path": "/hi"}}, 200, "routes:write"),
        ("GET", "/v2/routes/{route}", None, 200, "routes:read"),
        ("POST", "/v2/explain", {"url": "/hi"}, 200, "routes:read"),
        ("DELETE", "/v2/routes/{route}", None, 200, "routes:write"),
        ("DELETE", "/v2/plugins/{plugin}", None, 200, "plugins:write"),
        ("PUT", "/v2/objects/Backend/default/there", BACKEND, 201, "backends:write"),
        ("GET", "/v2/objects/Backend/default/there", None, 200, "backends:read"),
        ("GET", "/v2/objects?kind=Backend", None, 200, "backends:read"),
        ("DELETE", "/v2/objects/Backend/default/there", None, 204, "backends:write"),
        ("GET", "/v2/config/global", None, 200, "configs:read"),
        ("GET", "/v2/nodes", None, 200, "nodes:read"),
    ]
    ids: dict[str, str] = {}
    for method, url, body, status, scope in steps:
        answer = await call(admin, method, url.format(**ids), body)
        done = answer.status_code == status or (status, answer.status_code) == (200, 204)
        assert done, f"{method} {url}: {answer.status_code} {answer.text}"
        assert cluster.asked == {scope}, f"{method} {url}"
        if status == 201 and "id" in answer.json():
            ids[url.rpartition("/")[2].rstrip("s")] = answer.json()["id"]


async def test_where_the_body_tells_the_kinds_everything_is_asked(
    admin: AdminRun, cluster: Cluster
) -> None:
    batch = {"objects": [{"document": SHARED}, {"document": BACKEND}]}
    for method, url, body in (
        ("POST", "/v2/objects:apply", batch),
        ("GET", "/v2/history", None),
        ("GET", "/v2/history/1", None),
        ("GET", "/v2/auth/whoami", None),
    ):
        answer = await call(admin, method, url, body)
        assert answer.status_code == 200, f"{method} {url}: {answer.text}"
        assert cluster.asked is None, f"{method} {url}"
    validated = await call(admin, "POST", "/v2/config/validate", {"objects": [SHARED, BACKEND]})
    assert validated.status_code == 200, validated.text
    assert cluster.asked is None


async def test_what_no_role_gives_is_not_asked_for(admin: AdminRun, cluster: Cluster) -> None:
    for url in ("/v2/auth/keys", "/v2/auth/clients"):
        answer = await call(admin, "GET", url)
        assert (answer.status_code, answer.json()["scope"]) == (403, "keys:read")
        assert cluster.asked == {"keys:read"}
