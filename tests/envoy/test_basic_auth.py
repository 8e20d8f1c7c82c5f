"""``basic-auth``, enforced by the real Envoy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import httpx
import pytest
from support.client import Response
from support.documents import CLOSED, Documents, gateway, obj, route, secret
from support.upstream import EchoUpstream

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"
ANN, BEN, ODD = "correct horse", "battery:staple", "pässwörd"


def hashed(password: str) -> str:
    digest = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode()


def basic(name: str, password: str) -> tuple[str, str]:
    return "authorization", "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream) -> Iterator[Documents]:
    users = f"# users\nann:{hashed(ANN)}\n\nben:{hashed(BEN)}\nörn,1:{hashed(ODD)}\n"
    digest = hashlib.sha256(KEY.encode()).hexdigest()

    def asking(name: str, users: str, /, spec: dict | None = None, **config: object) -> dict:
        policy = {"basic-auth": {"usersRef": {"name": users}, **config}}
        return route(name, echo.port, policy, **(spec or {}))

    either = {"credentials": ["ApiKey", "Basic"]}
    documents = (
        gateway(),
        secret("users", {".htpasswd": users}),
        secret("others", {".htpasswd": f"cat:{hashed('meow')}"}),
        secret("bcrypt", {".htpasswd": "ann:$2y$05$abcdefghijklmnopqrstuv"}),
        secret("twice", {".htpasswd": f"ann:{hashed('a')}\nann:{hashed('b')}"}),
        secret("nobody", {".htpasswd": "# nobody yet\n"}),
        secret("elsewhere", {"users": "x"}),
        obj("ApiKey", "key", {"hash": digest, "prefix": "flc_service_", "lastFour": "Z012"}),
        asking("site", "users", realm="The site"),
        asking("other", "others"),
        asking("forward", "users", forwardCredentials=True),
        asking("either", "users", spec={"auth": either}),
        asking("both", "users", spec={"auth": {"credentials": ["ApiKey"]}}),
        route(
            "third",
            echo.port,
            {"basic-auth": {"usersRef": {"name": "users"}}},
            {"mtls-auth": {}},
            auth={"credentials": ["ApiKey", "MTLS"]},
        ),
        asking("optional", "users", spec={"auth": {"mode": "Optional", "credentials": ["Basic"]}}),
        asking("scoped", "users", spec={"auth": {"credentials": ["Basic"], "scopes": ["admin"]}}),
        obj("Tenant", "acme", {}),
        asking("tenants", "users", spec={"tenant": "acme"}),
        *(asking(name, name) for name in ("bcrypt", "twice", "nobody", "elsewhere", "missing")),
    )
    with Documents(*documents) as running:
        yield running


def test_a_user_gets_in_and_the_upstream_learns_who_but_not_the_password(
    served: Documents,
) -> None:
    for name, password in (("ann", ANN), ("ben", BEN)):
        answer = served.get("/site", [basic(name, password)])
        assert answer.status == 200
        assert answer.echoed("x-auth-subject") == [name]
        assert answer.echoed("authorization") == []


def test_a_name_that_is_no_header_value_is_encoded(served: Documents) -> None:
    answer = served.get("/site", [basic("örn,1", ODD)])
    assert answer.echoed("x-auth-subject") == ["%C3%B6rn%2C1"]


@pytest.mark.parametrize(
    "credentials",
    [
        None,
        ("authorization", ""),
        ("authorization", "Basic"),
        ("authorization", "Basic !!!"),
        ("authorization", "Basic " + base64.b64encode(b"ann").decode()),
        ("authorization", "Bearer abc"),
        basic("ann", ""),
        basic("ann", "wrong"),
        basic("ann", hashed(ANN)),
        basic("ANN", ANN),
        basic("", ANN),
        basic("ann\n", ANN),
        basic("cat", "meow"),
    ],
    ids=str,
)
def test_everybody_else_is_asked_who_they_are(
    served: Documents, echo: EchoUpstream, credentials: tuple[str, str] | None
) -> None:
    before = len(echo.requests)
    answer = served.get("/site", [credentials] if credentials else [])
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'Basic realm="The site"'
    assert answer.json()["error"] == "unauthorized"
    assert len(echo.requests) == before


def test_two_credentials_in_one_header_are_refused(served: Documents) -> None:
    assert served.get("/site", [basic("ann", ANN), basic("ben", BEN)]).status == 401


def test_every_policy_has_users_of_its_own(served: Documents) -> None:
    assert served.get("/other", [basic("cat", "meow")]).status == 200
    assert served.get("/other", [basic("ann", ANN)]).status == 401


def test_the_upstream_gets_the_password_where_the_policy_says_so(served: Documents) -> None:
    answer = served.get("/forward", [basic("ann", ANN)])
    assert answer.echoed("authorization") == [basic("ann", ANN)[1]]


def test_a_forged_identity_is_replaced(served: Documents) -> None:
    forged = [("x-auth-subject", "root"), ("X-Auth-Subject", "root"), ("x-tenant-id", "other")]
    answer = served.get("/site", [basic("ann", ANN), *forged])
    assert answer.echoed("x-auth-subject") == ["ann"]
    assert answer.echoed("x-tenant-id") == []


class TestBesideApiKeys:
    def statuses(self, served: Documents, path: str) -> dict[str, int]:
        key, user, wrong = ("apikey", KEY), basic("ann", ANN), basic("ann", "wrong")
        sent = {"nothing": [], "key": [key], "user": [user], "both": [key, user]}
        sent |= {"wrong": [wrong], "key and wrong": [key, wrong]}
        return {name: served.get(path, headers).status for name, headers in sent.items()}

    def test_one_of_two_is_enough_where_the_route_lists_both(self, served: Documents) -> None:
        assert self.statuses(served, "/either") == {
            "nothing": 401, "key": 200, "user": 200, "both": 200, "wrong": 401, "key and wrong": 401,
        }  # fmt: skip

    def test_both_are_needed_where_the_route_lists_only_the_key(self, served: Documents) -> None:
        assert self.statuses(served, "/both") == {
            "nothing": 401, "key": 401, "user": 401, "both": 200, "wrong": 401, "key and wrong": 401,
        }  # fmt: skip

    def test_what_the_route_does_not_list_is_needed_besides(self, served: Documents) -> None:
        assert self.statuses(served, "/third") == self.statuses(served, "/both")

    def test_nothing_is_enough_where_it_is_optional_but_not_something_wrong(
        self, served: Documents
    ) -> None:
        assert self.statuses(served, "/optional") == {
            "nothing": 200, "key": 200, "user": 200, "both": 200, "wrong": 401, "key and wrong": 401,
        }  # fmt: skip

    def test_the_key_outranks_the_user(self, served: Documents) -> None:
        answer = served.get("/either", [("apikey", KEY), basic("ann", ANN)])
        assert answer.echoed("x-auth-key-id") != []


def test_a_user_has_no_scopes(served: Documents) -> None:
    answer = served.get("/scoped", [basic("ann", ANN)])
    assert answer.status == 403
    assert "lacks the scope admin" in answer.json()["message"]


def test_on_a_route_of_a_tenant_the_users_are_the_tenants(served: Documents) -> None:
    answer = served.get("/tenants", [basic("ann", ANN), ("x-tenant-id", "other")])
    assert answer.echoed("x-tenant-id") == ["acme"]


def test_a_grpc_client_without_a_password_gets_unauthenticated(served: Documents) -> None:
    answer = served.get("/site", [("content-type", "application/grpc")], method="POST")
    assert (answer.status, answer.header("grpc-status")) == (200, "16")


def test_what_clients_do_by_themselves_works(served: Documents) -> None:
    with httpx.Client(auth=("ann", ANN)) as client:
        assert client.get(f"http://127.0.0.1:{served.port}/site").status_code == 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bcrypt", "Secret bcrypt: .htpasswd line 1 holds no {SHA} hash"),
        ("twice", "Secret twice: .htpasswd line 2 names a user for the second time"),
        ("nobody", "Secret nobody: .htpasswd names no user"),
        ("elsewhere", "Secret default/elsewhere has no key '.htpasswd'"),
        ("missing", "Secret default/missing does not exist"),
    ],
)
def test_users_that_cannot_be_read_close_the_route_and_the_condition_says_why(
    served: Documents, name: str, words: str
) -> None:
    of = "ResolvedRefs" if name == "missing" else "Accepted"
    condition = served.condition("Route", name, of)
    assert not condition.status
    assert condition.message.startswith("spec.plugins[0].config.usersRef: ")
    assert words in condition.message
    assert "$2y" not in condition.message
    answer: Response = served.get(f"/{name}", [basic("ann", ANN)])
    assert answer.status == CLOSED
