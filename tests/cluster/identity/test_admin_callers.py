"""Callers of the admin API by ServiceAccount tokens: a real API server says who, and RBAC what."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.admin_auth import Api, auth_api
from support.cluster import ControlPlane
from support.databases import migrated_file
from support.fault_proxy import FaultProxy
from support.history import until

from fluxgate_admin.db.database import Database
from fluxgate_admin.settings import LimitSettings
from fluxgate_operator.identity.cluster_identities import ApiClusterIdentities, CallerSettings
from fluxgate_operator.kube.access import load_access
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.types import KubeType

__all__ = ["migrated_file"]
FORGET = CallerSettings(keep=0, keep_refused=0)
WRITES = ("create", "update", "delete")


@dataclass(frozen=True)
class World:
    """The API, a cluster, and a namespace in it."""

    api: Api
    cluster: ControlPlane
    namespace: str

    def token(self, account: str, audiences: Sequence[str] = ("fluxgate-admin",)) -> str:
        """A token of a ServiceAccount."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{account}/token"
        spec = {"expirationSeconds": 3600, "audiences": list(audiences)}
        token: str = self.cluster.request("POST", path, {"spec": spec})["status"]["token"]
        return token

    def account(self, name: str, *rules: tuple[str, Sequence[str]], where: str = "") -> str:
        """A ServiceAccount that may so much in a namespace (its own), and its token."""
        self.cluster.new_service_account(self.namespace, name)
        where = where or self.namespace
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{where}"
        self.cluster.request(
            "POST",
            f"{rbac}/roles",
            {
                "metadata": {"name": name},
                "rules": [
                    {
                        "apiGroups": ["gateway.fluxgate.io"],
                        "resources": [resource],
                        "verbs": list(verbs),
                    }
                    for resource, verbs in rules
                ],
            },
        )
        subject = {"kind": "ServiceAccount", "name": name, "namespace": self.namespace}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        self.cluster.request(
            "POST",
            f"{rbac}/rolebindings",
            {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]},
        )
        resource, verbs = rules[0]
        resource, verb = ("routes", "list") if resource == "*" else (resource, verbs[0])
        self.cluster.wait_for_right(
            self.namespace, name, verb, resource, "gateway.fluxgate.io", inside=where
        )
        return self.token(name)

    async def scopes(self, token: str, where: str = "") -> set[str]:
        """What the API says the caller may, in its own namespace or in another one."""
        headers = {"x-fluxgate-namespace": where} if where else {}
        answer = await self.api.call(token, "GET", "/v2/auth/whoami", headers=headers)
        assert answer.status_code == 200, answer.text
        return set(answer.json()["scopes"])

    async def is_nobodys(self, token: str) -> bool:
        """Whether a token is not anybody's."""
        return (await self.api.call(token, "GET", "/v2/auth/whoami")).status_code == 401


@pytest.fixture
async def database(migrated_file: Path, tmp_path: Path) -> AsyncIterator[Database]:
    shutil.copy(migrated_file, tmp_path / "admin.db")
    async with Database(f"sqlite:///{tmp_path}/admin.db") as opened:
        yield opened


@pytest.fixture
async def world(
    control_plane: ControlPlane, namespace: str, kube: KubeClient, database: Database
) -> AsyncIterator[World]:
    async with auth_api(database, ApiClusterIdentities(kube, settings=FORGET)) as api:
        yield World(api, control_plane, namespace)


async def test_a_service_account_may_what_rbac_lets_it_do(world: World) -> None:
    token = world.account("ci", ("routes", ("list", *WRITES)), ("plugins", ("list",)))
    assert await world.scopes(token) == {
        "routes:read",
        "routes:write",
        "plugins:read",
    }
    written = await world.api.call(token, "POST", "/v2/things", {"a": 1})
    assert written.status_code == 200
    assert written.json()["caller"] == f"system:serviceaccount:{world.namespace}:ci"


async def test_it_acts_in_its_own_namespace(world: World) -> None:
    token = world.account("ci", ("routes", ("list",)))
    answer = await world.api.call(token, "GET", "/v2/things")
    assert answer.json()["namespaces"] == [world.namespace]


async def test_the_log_of_calls_has_a_resource_of_its_own_that_objects_do_not_give(
    world: World,
) -> None:
    kinds = ("routes", "plugins", "backends", "upstreams", "gatewayconfigs", "apikeys", "tenants")
    reader = world.account("reader", *((each, ("list",)) for each in kinds))
    assert "history:read" in await world.scopes(reader)
    refused = await world.api.call(reader, "GET", "/v2/audit")
    assert (refused.status_code, refused.json().get("scope")) == (403, "audit:read")
    auditor = world.account("auditor", ("auditrecords", ("list",)))
    assert await world.scopes(auditor) == {"audit:read"}
    assert (await world.api.call(auditor, "GET", "/v2/audit")).status_code == 200
    everywhere = {"x-fluxgate-namespace": "*"}
    refused = await world.api.call(auditor, "GET", "/v2/audit", headers=everywhere)
    assert refused.status_code == 403


async def test_half_the_right_to_write_is_none(world: World) -> None:
    token = world.account("ci", ("routes", ("list", "create", "update")))
    found = await world.scopes(token)
    assert found == {"routes:read"}
    refused = await world.api.call(token, "POST", "/v2/things", {})
    assert (refused.status_code, refused.json()["error"]) == (403, "scope_mismatch")


async def test_another_namespace_is_open_where_rbac_opens_it(world: World) -> None:
    other = world.cluster.new_namespace()
    token = world.account("ci", ("routes", ("list",)), where=other)
    assert await world.scopes(token, other) == {"routes:read"}
    answer = await world.api.call(token, "GET", f"/v2/things?namespace={other}")
    assert answer.json()["namespaces"] == [other]
    assert await world.scopes(token) == set()


async def test_a_namespace_that_is_not_there_answers_as_one_that_is_closed(world: World) -> None:
    closed = world.cluster.new_namespace()
    token = world.account("ci", ("routes", ("list",)))
    answers = [
        await world.api.call(token, "GET", f"/v2/things?namespace={each}")
        for each in (closed, "nowhere-at-all")
    ]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].json()["message"] == answers[1].json()["message"]


async def test_all_namespaces_take_a_right_in_the_whole_cluster(world: World) -> None:
    token = world.account("ci", ("*", ("*",)))
    found = await world.scopes(token)
    assert {"routes:write", "configs:admin", "nodes:read", "history:read", "audit:read"} <= found
    assert not {"keys:write", "keys:read", "tenants:admin"} & found
    assert await world.scopes(token, "*") == set()


@pytest.mark.parametrize("audience", ["", "fluxgate-xds"], ids=["of the API server", "of nodes"])
async def test_a_token_for_somebody_else_is_not_taken(world: World, audience: str) -> None:
    world.account("ci", ("routes", ("list",)))
    token = world.token("ci", [audience] if audience else [])
    assert (await world.api.call(token, "GET", "/v2/things")).status_code == 401


async def test_neither_a_users_nor_a_broken_token_is_taken(world: World) -> None:
    good = world.account("ci", ("routes", ("list",)))
    for token in (world.cluster.admin_token, good[:-4] + "AAAA", "x" * 400):
        answer = await world.api.call(token, "GET", "/v2/things")
        assert (answer.status_code, answer.json()["error"]) == (401, "unauthenticated")


async def test_a_deleted_service_account_is_nobody(world: World) -> None:
    token = world.account("ci", ("routes", ("list",)))
    assert await world.scopes(token) == {"routes:read"}
    path = f"/api/v1/namespaces/{world.namespace}/serviceaccounts/ci"
    world.cluster.request("DELETE", path)
    # the API server itself remembers the token for ten seconds
    await until(lambda: world.is_nobodys(token), "the token's end")


async def test_a_token_of_the_clusters_is_not_rotated_here(world: World) -> None:
    token = world.account("ci", ("routes", ("list",)))
    answer = await world.api.call(token, "POST", "/v2/auth/rotate")
    assert (answer.status_code, answer.json()["error"]) == (400, "not_rotatable")


async def test_without_the_api_server_nobody_gets_in_and_nobody_is_told_no(
    fault_proxy: FaultProxy, control_plane: ControlPlane, namespace: str, database: Database
) -> None:
    access = await load_access(fault_proxy.kubeconfig, None, {})
    async with (
        KubeClient(access, timeout=2) as client,
        auth_api(database, ApiClusterIdentities(client)) as api,
    ):
        world = World(api, control_plane, namespace)
        heard = world.account("ci", ("routes", ("list",)))
        unheard = world.account("other", ("routes", ("list",)))
        assert (await api.call(heard, "GET", "/v2/auth/whoami")).status_code == 200
        fault_proxy.refuse()
        known = await api.call(heard, "GET", "/v2/auth/whoami")
        answer = await api.call(unheard, "GET", "/v2/auth/whoami")
        admin = await api.first_key()
        by_key = await api.call(admin, "GET", "/v2/things")
    assert known.status_code == 200
    assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
    assert by_key.status_code == 200


class Port:
    """The way to the API server, where every review is counted: its kind, and how many are open at once."""

    def __init__(self, client: KubeClient) -> None:
        self.asked: list[str] = []
        self.most_open = 0
        self._open = 0
        self._create = client.create
        client.create = self._counted  # type: ignore[method-assign]

    async def _counted(self, type_: KubeType, *args: Any) -> dict[str, Any]:
        self.asked.append(type_.kind)
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        try:
            return await self._create(type_, *args)
        finally:
            self._open -= 1

    def since(self) -> tuple[int, int]:
        """TokenReviews and SubjectAccessReviews since it was asked the last time."""
        asked, self.asked = self.asked, []
        return asked.count("TokenReview"), asked.count("SubjectAccessReview")


@dataclass
class Counted:
    """A world whose reviews are counted, and whose clock stands still."""

    world: World
    port: Port
    now: float = 0.0

    async def get(self, token: str, url: str = "/v2/things", where: str = "") -> int:
        """A read; its status."""
        headers = {"x-fluxgate-namespace": where} if where else {}
        return (await self.world.api.call(token, "GET", url, headers=headers)).status_code


@pytest.fixture
async def counted(
    control_plane: ControlPlane, namespace: str, kube: KubeClient, database: Database
) -> AsyncIterator[Counted]:
    port = Port(kube)
    identities = ApiClusterIdentities(kube, clock=lambda: found.now)
    async with auth_api(database, identities, limits=LimitSettings(reads=40)) as api:
        found = Counted(World(api, control_plane, namespace), port)
        yield found


async def test_a_call_asks_for_the_right_it_takes_and_no_other(counted: Counted) -> None:
    token = counted.world.account("ci", ("routes", ("list", *WRITES)))
    counted.port.since()
    assert await counted.get(token) == 200
    assert counted.port.since() == (1, 1)
    written = await counted.world.api.call(token, "POST", "/v2/things", {})
    assert written.status_code == 200
    assert counted.port.since() == (0, 3)  # to list is known already
    assert await counted.get(token, "/v2/auth/keys") == 403
    assert counted.port.since() == (0, 0)


async def test_another_namespace_costs_one_question(counted: Counted) -> None:
    token = counted.world.account("ci", ("routes", ("list",)))
    assert await counted.get(token) == 200
    counted.port.since()
    assert await counted.get(token, where="elsewhere") == 403
    assert counted.port.since() == (0, 1)
    for wrong in ("Not-A-Name", "a/b", "a" * 64, "%2a"):
        assert await counted.get(token, where=wrong) == 400
    assert counted.port.since() == (0, 0)


async def test_one_caller_asks_the_api_server_once_in_a_while(counted: Counted) -> None:
    token = counted.world.account("ci", ("routes", ("list",)))
    assert await counted.get(token, "/v2/auth/whoami") == 200
    assert counted.port.since() == (1, 30)  # who asks for everything: all at once, then each right
    for _ in range(5):
        assert await counted.get(token, "/v2/auth/whoami") == 200
        assert await counted.get(token) == 200
    assert counted.port.since() == (0, 0)
    counted.now += 31
    assert await counted.get(token) == 200
    assert counted.port.since() == (1, 1)


async def test_the_same_question_is_open_once(counted: Counted) -> None:
    token = counted.world.account("ci", ("routes", ("list",)))
    counted.port.since()
    codes = await asyncio.gather(*(counted.get(token) for _ in range(20)))
    assert set(codes) == {200}
    assert counted.port.since() == (1, 1)


async def test_questions_about_many_namespaces_end_with_the_callers_minute(
    counted: Counted,
) -> None:
    token = counted.world.account("ci", ("routes", ("list",)))
    counted.port.since()
    codes = await asyncio.gather(*(counted.get(token, where=f"other-{n}") for n in range(60)))
    assert Counter(codes) == {403: 40, 429: 20}
    assert counted.port.since() == (1, 40)
    assert counted.port.most_open <= CallerSettings().at_once


async def test_who_may_write_and_not_list_may_neither(world: World) -> None:
    """A write answers with what is there, and counts as the right to read it."""
    token = world.account("ci", ("routes", WRITES))
    assert await world.scopes(token) == set()
    assert (await world.api.call(token, "GET", "/v2/things")).status_code == 403
    assert (await world.api.call(token, "POST", "/v2/things", {})).status_code == 403
