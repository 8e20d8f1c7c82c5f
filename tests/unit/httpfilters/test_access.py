"""The Envoy messages for tokens and for the decision who is calling."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.http.jwt_authn.v3 import config_pb2 as jwt_authn_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from support.gateway import ORIGIN, forward, gateway, route

from fluxgate.ir import KeyAuth
from fluxgate.ir.policies.access import STRENGTH, Access
from fluxgate.ir.policies.acl import Acl, AclEntries
from fluxgate.ir.policies.jwt_auth import (
    JwtAuth,
    JwtProvider,
    JwtRequirement,
    LocalJwks,
    RemoteJwks,
    TokenSource,
)
from fluxgate.secret import SecretBytes
from fluxgate.xds import names, typeurl
from fluxgate.xds.httpfilters.access import CLASSES, AccessDecision, access_source
from fluxgate.xds.httpfilters.jwt_auth import JwtAuthentication, build_provider
from fluxgate.xds.httpfilters.lua.literal import literal

LOCAL = LocalJwks(SecretBytes(b'{"keys": []}'))
REMOTE = RemoteJwks("idp/1", "https://id.example.com/keys", 5_000, 300_000)
PROVIDER = JwtProvider(
    "plugin/a/b/main", ORIGIN, "https://id.example.com", ("api",), ("RS256",), REMOTE,
    TokenSource("header", "authorization", "Bearer "),
)  # fmt: skip
REQUIREMENT = JwtRequirement("plugin/a/b", ORIGIN, (PROVIDER.name,))
TOKENS = JwtAuth(REQUIREMENT.name, (PROVIDER.name,))
SERVED = gateway(shared=(PROVIDER, REQUIREMENT))


def patched(*policies: object, **fields: object) -> route_v3.Route:
    message = route_v3.Route()
    made = route("/", forward("up"), policies=policies, **fields)
    for each in (JwtAuthentication(), AccessDecision()):
        each.patch_route(made, message)
    return message


def requirement(message: route_v3.Route) -> str:
    config = jwt_authn_v3.PerRouteConfig()
    message.typed_per_filter_config[names.JWT_FILTER].Unpack(config)
    return config.requirement_name


def asked(message: route_v3.Route) -> dict[str, str]:
    config = lua_v3.LuaPerRoute()
    message.typed_per_filter_config[names.ACCESS_FILTER].Unpack(config)
    return dict(part.split("=", 1) for part in config.filter_context["policy"].split(";"))


def test_every_class_of_credentials_has_a_name_in_the_script():
    assert set(CLASSES) == set(STRENGTH)


@pytest.mark.parametrize("filter_", [JwtAuthentication(), AccessDecision()])
def test_issuers_and_routes_never_change_a_listener(filter_):
    entry = filter_.http_filter(gateway())
    assert entry == filter_.http_filter(SERVED)
    assert entry.disabled
    assert entry.HasField("config_discovery")


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        (Access(("JWT",)), "plugin/a/b"),
        (Access(("JWT",), required=False), "plugin/a/b?"),
        (Access(("JWT", "ApiKey")), "plugin/a/b?"),
    ],
)
def test_a_token_may_be_missing_where_something_else_can_be_there(access, expected):
    assert requirement(patched(access, TOKENS)) == expected


def test_routes_that_take_no_tokens_leave_both_filters_off():
    assert not patched(TOKENS, key_auth=KeyAuth()).typed_per_filter_config
    only_basic = patched(Access(("Basic",)), TOKENS)
    assert list(only_basic.typed_per_filter_config) == [names.ACCESS_FILTER]
    assert "providers" not in asked(only_basic)


def test_the_script_is_told_what_the_route_asks():
    access = Access(("JWT", "ApiKey"), False, ("a:read", "b"), ("mobile",), ("acme",), "free")
    acl = Acl(AclEntries(roles=("power user",)), AclEntries(subjects=("x;optional=true",)))
    assert asked(patched(access, TOKENS, acl, plan="gold")) == {
        "credentials": "jwt api_key",
        "optional": "true",
        "providers": "plugin/a/b/main",
        "scopes": "a:read b",
        "audiences": "mobile",
        "tenants": "acme",
        "plan": "gold",
        "fallback": "free",
        "allowroles": "power%20user",
        "denysubjects": "x%3Boptional=true",
    }


def test_a_provider_in_envoys_words():
    message = build_provider(replace(PROVIDER, max_lifetime_s=60, cached=7))
    assert message.forward, "the access filter counts the tokens, and removes them"
    assert [each.value_prefix for each in message.from_headers] == ["Bearer ", "bearer "]
    assert message.remote_jwks.async_fetch.fast_listener
    assert message.require_expiration
    assert (message.max_lifetime.seconds, message.jwt_cache_config.jwt_cache_size) == (60, 7)
    local = build_provider(replace(PROVIDER, jwks=LOCAL, source=TokenSource("cookie", "s")))
    assert local.local_jwks.inline_bytes == LOCAL.document.reveal()
    assert (list(local.from_cookies), list(local.from_headers)) == (["s"], [])


def test_the_issuers_need_the_clusters_their_keys_come_from():
    (resource,) = JwtAuthentication().resources(SERVED)
    assert resource.references == {(typeurl.CLUSTER, "idp/1")}
    assert resource.origins == (ORIGIN,)
    extension = extension_v3.TypedExtensionConfig.FromString(resource.payload)
    config = jwt_authn_v3.JwtAuthentication()
    extension.typed_config.Unpack(config)
    assert set(config.requirement_map) == {"plugin/a/b", "plugin/a/b?"}
    assert config.requirement_map["plugin/a/b"].provider_name == PROVIDER.name


@pytest.mark.parametrize(
    "text",
    ["plain", 'a"b', "a\\b", "a\nb\r\0", "]==] .. os.exit()", "ü\U0001f600", "--[[", "\ud800"],
)
def test_no_text_breaks_out_of_a_literal(text):
    made = literal(text)
    assert made.isascii()
    assert made.startswith('"')
    assert made.endswith('"')
    assert '"' not in made[1:-1]
    assert "\n" not in made
    read_back = re.sub(rb"\\(\d{3})", lambda found: bytes([int(found[1])]), made[1:-1].encode())
    assert read_back == text.encode("utf-8", "surrogatepass")


def test_literals_nest():
    made = literal({"a": [1, True, None, "x"], "b": {}})
    assert made == '{["a"]={1,true,nil,"x"},["b"]={}}'


def test_hostile_names_stay_inside_their_strings():
    hostile = replace(PROVIDER, issuer='x"}; os.execute("y") --', name='p"]={}} evil()')
    source = access_source(gateway(shared=(hostile,)))
    (line,) = [each for each in source.splitlines() if each.startswith("local PROVIDERS")]
    outside = re.sub(r'"(?:[A-Za-z0-9 _.:/@#-]|\\[0-9]{3})*"', "", line)
    assert re.fullmatch(r"local PROVIDERS = [][{}=,a-z0-9]*", outside)
    assert not {"os", "evil", "execute"} & set(re.findall("[a-z]+", outside))
