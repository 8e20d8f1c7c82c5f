"""The key table in the real Envoy: large, changing, hostile, broken."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import pytest
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.envoy import eventually
from support.keygateway import PREFIXES, KeyGateway, api_key, gateway, route

from fluxgate.ir import ApiKeyTable, KeyAuth
from fluxgate.xds import names
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.api_key_auth import lua_source

pytestmark = pytest.mark.envoy

KEY = "flc_service_4BnJq0xYt7bGmZpLk2VwRs9HcDfE1aXyZ012"


def script(code: str) -> bytes:
    """An ECDS resource of the key filter with a script of the test's own."""
    config = lua_v3.Lua()
    config.default_source_code.inline_string = code
    extension = extension_v3.TypedExtensionConfig(name=names.API_KEY_FILTER)
    extension.typed_config.Pack(config)
    return extension.SerializeToString(deterministic=True)


@pytest.fixture
def proxy() -> Iterator[KeyGateway]:
    with KeyGateway(gateway([api_key(KEY)]), [route("/", KeyAuth())], concurrency=2) as running:
        yield running


def becomes(proxy: KeyGateway, key: str, status: int) -> None:
    """Both workers answer ``status``: ten requests in a row do, each on its own connection."""
    eventually(
        lambda: all(proxy.key(key).status == status for _ in range(10)), what=f"{status} for a key"
    )


def listener_updates(proxy: KeyGateway) -> int:
    return sum(
        proxy.envoy.stats("listener_manager.listener_(modified|added|create_success)").values()
    )


def test_a_new_key_works_and_a_revoked_one_stops_without_touching_the_listener(
    proxy: KeyGateway,
) -> None:
    before = listener_updates(proxy)
    becomes(proxy, KEY, 200)
    fresh = "flc_service_fresh0000000000000000000000000000"
    proxy.update(gateway([api_key(KEY), api_key(fresh, "key-2")]))
    becomes(proxy, fresh, 200)
    proxy.update(gateway([api_key(fresh, "key-2")]))
    becomes(proxy, KEY, 401)
    assert proxy.key(fresh).status == 200
    assert listener_updates(proxy) == before


def test_what_a_key_stands_for_changes_while_it_is_in_use(proxy: KeyGateway) -> None:
    becomes(proxy, KEY, 200)
    proxy.update(gateway([api_key(KEY, tenant="umbrella")]))
    eventually(lambda: proxy.key(KEY).echoed("x-tenant-id") == ["umbrella"], what="new tenant")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 1000, 100_000])
def test_every_size_of_table_finds_its_keys_and_only_them(count: int) -> None:
    keys = [api_key(f"flx_live_{i:032d}", f"key-{i}", tenant=f"t{i}") for i in range(count)]
    with KeyGateway(gateway(keys), [route("/", KeyAuth())]) as running:
        for i in {0, 1, 2, 499, 999, 54_321, 99_999} & set(range(count)):
            answer = running.key(f"flx_live_{i:032d}")
            assert answer.echoed("x-auth-key-id") == [f"key-{i}"]
            assert answer.echoed("x-tenant-id") == [f"t{i}"]
        assert running.key(f"flx_live_{count:032d}").status == 401


def test_ten_thousand_guesses_leave_good_keys_working() -> None:
    keys = [api_key(f"flx_live_{i:032d}", f"key-{i}") for i in range(5000)]
    with KeyGateway(gateway(keys), [route("/", KeyAuth())]) as running:
        for i in range(5000):
            assert running.key(f"flx_live_{i:032d}").echoed("x-auth-key-id") == [f"key-{i}"]
            assert running.key(f"flx_test_{i:032d}").status == 401
        assert running.key(f"flx_live_{0:032d}").echoed("x-auth-key-id") == ["key-0"]


BREAK: dict[str, Callable[[str], str]] = {
    "the lookup fails": lambda code: code.replace(
        "local function locate(digest)", 'local function locate(digest) error("forced")', 1
    ),
    "the table is cut off": lambda code: code.replace("|0||\n", "", 1),
    "the index is wrong": lambda code: code.replace("00000000]==]", "0000ffff]==]", 1),
    "an error that is no text": lambda code: code.replace(
        "local function locate(digest)", "local function locate(digest) error({})", 1
    ),
}


@pytest.mark.parametrize("broken", BREAK.values(), ids=BREAK)
def test_a_script_that_fails_refuses_the_request(
    proxy: KeyGateway, broken: Callable[[str], str]
) -> None:
    code = lua_source(ApiKeyTable(PREFIXES, (api_key(KEY),)))
    assert broken(code) != code
    proxy.write(names.API_KEY_FILTER, script(broken(code)))
    becomes(proxy, KEY, 503)
    proxy.echo.clear()
    answer = proxy.key(KEY)
    assert answer.body == b"The API key could not be checked."
    assert proxy.echo.requests == []
    assert KEY not in proxy.envoy.log


def test_a_script_that_does_not_compile_is_rejected_and_the_last_one_stays(
    proxy: KeyGateway,
) -> None:
    proxy.write(names.API_KEY_FILTER, script("this is not Lua"))
    pattern = f"extension_config_discovery.http_filter.{names.API_KEY_FILTER}.config_fail"
    eventually(
        lambda: any(proxy.envoy.stats(pattern).values()) or "script load error" in proxy.envoy.log,
        what="rejection",
    )
    assert proxy.key(KEY).status == 200


hostile = st.text(
    st.characters(codec="utf-8", categories=("L", "P", "S", "Cc", "Zs")), max_size=30
) | st.sampled_from(["]==]", ']==] error("out") --[==[', "|x|y", "\r\nx-evil: 1", "%0d%0a"])


@given(tenant=hostile, role=hostile, scope=hostile)
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_hostile_value_arrives_as_a_value_and_nothing_else(
    proxy: KeyGateway, tenant: str, role: str, scope: str
) -> None:
    marker = hashlib.sha256(f"{tenant}\0{role}\0{scope}".encode()).hexdigest()[:12]
    key = api_key(KEY, f"key-{marker}", tenant=tenant, role=role, scopes=(scope,))
    proxy.update(gateway([key]))
    eventually(
        lambda: all(proxy.key(KEY).echoed("x-auth-key-id") == [f"key-{marker}"] for _ in range(5)),
        what="the hostile table is in force",
    )
    answer = proxy.key(KEY)
    assert answer.echoed("x-evil") == []
    assert len(answer.echoed("x-tenant-id")) == (1 if tenant else 0)


NIST = {
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmno"
    b"ijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu": (
        "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
    ),
}
MILLION_A = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"

HASH_THE_BODY = """
function envoy_on_request(handle)
  local body = handle:body(true)
  local text = body and body:length() > 0 and body:getBytes(0, body:length()) or ""
  handle:respond({ [":status"] = "200" }, sha256(text))
end
"""


@pytest.fixture(scope="module")
def hasher() -> Iterator[Callable[[bytes], str]]:
    with KeyGateway(gateway(), [route("/", KeyAuth())]) as running:
        running.write(names.API_KEY_FILTER, script(lua.SHA256 + HASH_THE_BODY))

        def hashed(message: bytes) -> str:
            return running.get("/", method="POST", body=message).body.decode()

        eventually(lambda: hashed(b"") == NIST[b""], what="the hashing script is in force")
        yield hashed


@pytest.mark.parametrize("message", NIST, ids=lambda message: f"{8 * len(message)} bits")
def test_sha256_gives_the_values_of_fips_180(
    hasher: Callable[[bytes], str], message: bytes
) -> None:
    assert hasher(message) == NIST[message]


def test_sha256_of_a_million_letters_a(hasher: Callable[[bytes], str]) -> None:
    assert hasher(b"a" * 1_000_000) == MILLION_A


def test_sha256_agrees_with_pythons_for_every_length_up_to_200(
    hasher: Callable[[bytes], str],
) -> None:
    for length in range(201):
        message = bytes((7 * length + 13 * at) % 256 for at in range(length))
        assert hasher(message) == hashlib.sha256(message).hexdigest()
