"""What a client says about who it is never arrives, whatever its spelling, version or place."""

from __future__ import annotations

import pytest
from support.client import Response, answers_to
from support.http2 import http2_request, pseudo
from support.security import World
from support.tokens import Issuer

from fluxgate.xds.names import IDENTITY_HEADERS

pytestmark = pytest.mark.envoy

FORGED = "forged"
SPELLINGS = {
    "lower": str,
    "title": str.title,
    "upper": str.upper,
    "underscores": lambda name: name.replace("-", "_"),
    "upper with underscores": lambda name: name.replace("-", "_").upper(),
    "one underscore": lambda name: name[::-1].replace("-", "_", 1)[::-1],
}
OPEN, KEY, TOKEN, OPTIONAL = "/open", "/keys", "/tokens", "/optional"


def all_forged(spelling: str = "lower") -> list[tuple[str, str]]:
    spell = SPELLINGS[spelling]
    return [(spell(name), f"{FORGED}-{name}") for name in IDENTITY_HEADERS]


def credentials(world: World, issuer: Issuer, path: str) -> list[tuple[str, str]]:
    if path == KEY:
        return [("apikey", world.key)]
    return [issuer.bearer(tenant="acme")] if path == TOKEN else []


@pytest.fixture(autouse=True)
def _nothing_forged_arrives(world: World):
    """Whatever a test sends: no identity header of an upstream's request holds a forged value."""
    yield
    for seen in (*world.private.requests, *world.public.requests):
        claimed = [value for name, value in seen.headers if plain(name) in IDENTITY_HEADERS]
        assert FORGED not in repr(claimed)
        assert not any(control in repr(seen.headers) for control in ("\\r", "\\n", "\\x0"))


def plain(name: str) -> str:
    """A header's name as an upstream that maps names to variables (CGI, WSGI) reads it."""
    return "".join(each if each.isalnum() else "-" for each in name.lower())


@pytest.mark.parametrize("path", [OPEN, KEY, TOKEN, OPTIONAL])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_a_forged_header_arrives(
    world: World, rsa_issuer: Issuer, path: str, spelling: str
):
    answer = world.get(path, [*all_forged(spelling), *credentials(world, rsa_issuer, path)])
    assert answer.status == 200
    assert answer.echoed("x-tenant-id") == (["acme"] if path in (KEY, TOKEN) else [])


@pytest.mark.parametrize("path", [OPEN, KEY, TOKEN])
def test_repeated_forged_headers_are_all_removed(world: World, rsa_issuer: Issuer, path: str):
    forged = [*all_forged(), *all_forged("upper"), *all_forged()]
    answer = world.get(path, [*forged[:9], *credentials(world, rsa_issuer, path), *forged[9:]])
    assert answer.status == 200
    assert len(answer.echoed("x-auth-subject")) == (0 if path == OPEN else 1)


@pytest.mark.parametrize("path", [KEY, TOKEN])
@pytest.mark.parametrize("name", [*IDENTITY_HEADERS, "x-tenant-id, x-auth-subject, close"])
def test_naming_an_identity_header_in_connection_does_not_take_it_away(
    world: World, rsa_issuer: Issuer, path: str, name: str
):
    headers = [("connection", name), *all_forged(), *credentials(world, rsa_issuer, path)]
    answer = world.get(path, headers)
    assert answer.status == 200
    assert answer.echoed("x-tenant-id") == ["acme"]
    assert len(answer.echoed("x-auth-subject")) == 1
    assert answer.echoed("connection") == []


def test_a_credential_named_in_connection_is_no_way_round_it(world: World, rsa_issuer: Issuer):
    for path in (KEY, TOKEN):
        for name in ("apikey", "authorization"):
            headers = [("connection", name), *credentials(world, rsa_issuer, path)]
            answer = world.get(path, headers)
            assert answer.status in (200, 401)
            if answer.status == 200:
                assert answer.echoed("x-tenant-id") == ["acme"]
                assert answer.echoed("apikey") == answer.echoed("authorization") == []
    assert world.get(KEY, [("connection", "apikey")]).status == 401


def raw(world: World, *lines: str) -> list[int]:
    head = ["GET /open HTTP/1.1", "host: x.example.com", *lines, "connection: close", "", ""]
    return [each.status for each in answers_to(world.port, "\r\n".join(head).encode("latin-1"))]


@pytest.mark.parametrize(
    "line",
    [
        "x-tenant-id:forged",
        "x-tenant-id:\tforged",
        "x-tenant-id :forged",
        "x-tenant-id\t: forged",
        " x-tenant-id: forged",
        "\tx-tenant-id: forged",
        "x-a: b\r\n x-tenant-id: forged",
        "x-tenant-id: a\r\n forged",
        "x-tenant-id\0: forged",
        "x-tenant-id: forged\0",
        "\0x-tenant-id: forged",
        "x-tenant-id\x0b: forged",
        "x-tenant\u00ad-id: forged",
        "x-a: b\nx-tenant-id: forged",
        "x-a: b\rx-tenant-id: forged",
        "x-a: b\n\rx-tenant-id: forged",
        "x-tenant-id",
        ": forged",
        "x.tenant.id: other\r\nx-tenant-id: forged",
    ],
    ids=ascii,
)
def test_a_malformed_line_is_refused_or_loses_its_identity(world: World, line: str):
    assert raw(world, line) in ([200], [400])


def test_identity_in_trailers_does_not_arrive(world: World):
    chunked = "1\r\na\r\n0\r\nx-tenant-id: forged\r\nX_Tenant_Id: forged\r\n\r\n"
    head = ["POST /open HTTP/1.1", "host: x.example.com", "transfer-encoding: chunked"]
    request = "\r\n".join([*head, "trailer: x-tenant-id", "connection: close", "", chunked])
    assert [each.status for each in answers_to(world.port, request.encode())] == [200]


class TestHttp2:
    @pytest.mark.parametrize("spelling", ["lower", "underscores", "one underscore"])
    def test_forged_fields_are_removed(self, world: World, spelling: str):
        fields = [*pseudo(KEY), *all_forged(spelling), ("apikey", world.key)]
        answer = http2_request(world.port, fields)
        assert (answer.status, answer.echoed("x-tenant-id")) == (200, ["acme"])

    @pytest.mark.parametrize(
        "fields",
        [
            [("X-Tenant-Id", "forged")],
            [("x-tenant-id\0", "forged")],
            [("x-tenant-id", "forged\r\nx-tenant-id: forged")],
            [("x-a\r\nx-tenant-id", "forged")],
            [("x-a", "b\nx-tenant-id: forged")],
            [("x-tenant-id:", "forged")],
            [(" x-tenant-id", "forged")],
            [(":x-tenant-id", "forged")],
            [("connection", "x-tenant-id"), ("x-tenant-id", "forged")],
            [("transfer-encoding", "chunked"), ("x-tenant-id", "forged")],
        ],
        ids=ascii,
    )
    def test_malformed_fields_end_the_request(self, world: World, fields: list[tuple[str, str]]):
        answer = http2_request(world.port, [*pseudo(OPEN), *fields])
        assert answer.status in (0, 400)
        assert world.seen() == []

    def test_trailers_do_not_arrive(self, world: World):
        answer = http2_request(
            world.port,
            pseudo(OPEN, "POST"),
            body=b"a",
            trailers=[("x-tenant-id", "forged"), ("x_tenant_id", "forged")],
        )
        assert answer.status in (0, 200)

    def test_a_smuggled_path_is_no_second_request(self, world: World):
        path = "/open HTTP/1.1\r\nx-tenant-id: forged\r\n\r\nGET /keys"
        answer = http2_request(world.port, pseudo(path))
        assert answer.status in (0, 400)
        assert world.seen() == []


class TestErrors:
    """Answers that the gateway makes itself say nothing of what a client claimed."""

    @pytest.mark.parametrize(
        ("path", "status"),
        [(KEY, 401), (TOKEN, 401), ("/open%2f", 400), ("/regex/%00", 400)],
    )
    def test_a_refusal_tells_nothing(self, world: World, path: str, status: int):
        answer: Response = world.get(path, all_forged())
        assert answer.status == status
        assert FORGED not in repr(answer.headers) + answer.body.decode()
        assert world.seen() == []

    def test_logs_do_not_take_a_forged_identity_for_true(self, world: World):
        world.get(KEY, all_forged())
        answer = world.get(OPEN, all_forged())
        request_id = answer.header("x-request-id")
        lines = world.served.envoy.access_log(count=1)
        mine = [line for line in lines if line["request_id"] == request_id]
        assert FORGED not in repr(mine)
