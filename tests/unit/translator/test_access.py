"""Which credentials a route takes, and what it asks of them."""

from __future__ import annotations

import json

import pytest
from support.tokens import Issuer
from unit.translator.world import PLAN, World, edge, obj, path, route

from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.acl import Acl, AclEntries
from fluxgate.ir.policies.jwt_auth import JwtAuth, JwtProvider, JwtRequirement, RemoteJwks

ISSUER = Issuer(alg="ES256")
TOKENS = {"type": "jwt-auth", "config": {"providers": [ISSUER.provider()]}}
KEYS = {"type": "key-auth", "config": {}}
CERTIFICATE = {"type": "mtls-auth", "config": {}}
ON_EDGE = {"targets": [{"kind": "GatewayConfig", "name": "edge"}]}


def remote(**where: object) -> dict:
    return {"type": "jwt-auth", "config": {"providers": [ISSUER.provider(jwks={"remote": where})]}}


def credentials(world: World) -> tuple[str, ...]:
    access = world.route.policy(Access)
    return access.credentials if access else ("ApiKey",) if world.route.key_auth else ()


class TestCredentials:
    @pytest.mark.parametrize(
        ("auth", "plugins", "expected"),
        [
            (None, [], ()),
            ({}, [], ("ApiKey",)),
            (None, [KEYS], ("ApiKey",)),
            (None, [TOKENS], ("JWT",)),
            ({}, [TOKENS], ("JWT",)),
            (None, [KEYS, TOKENS], ("JWT", "ApiKey")),
            ({"credentials": ["ApiKey", "JWT"]}, [TOKENS], ("JWT", "ApiKey")),
            ({"credentials": ["ApiKey"]}, [TOKENS], ("ApiKey",)),
            ({"credentials": ["JWT"]}, [KEYS, TOKENS], ("JWT",)),
            ({"mode": "None"}, [TOKENS], ()),
            (None, [CERTIFICATE], ("MTLS",)),
            (None, [CERTIFICATE, TOKENS], ("JWT",)),
            ({}, [CERTIFICATE], ("ApiKey",)),
            (None, [CERTIFICATE, KEYS], ("ApiKey",)),
            ({"credentials": ["MTLS", "JWT"]}, [CERTIFICATE, TOKENS], ("MTLS", "JWT")),
        ],
    )
    def test_a_route_takes_what_it_names_or_what_its_policies_verify(self, auth, plugins, expected):
        spec = {} if auth is None else {"auth": auth}
        assert credentials(World(edge(), route(plugins=plugins, **spec))) == expected

    def test_keys_alone_need_no_second_filter(self):
        made = World(edge(), route(auth={"credentials": ["ApiKey"]}, plugins=[TOKENS])).route
        assert made.policy(Access) is None
        assert not made.key_auth.deferred

    def test_issuers_whose_tokens_are_not_looked_at_are_said(self):
        named = {"auth": {"credentials": ["ApiKey"]}}
        plugin = obj("Plugin", "tokens", TOKENS | ON_EDGE)
        world = World(edge(), plugin, route(**named))
        assert world.verdict("Route", "r") == (True, "PartiallyAccepted")
        assert "JWT is not listed, so tokens are not looked at" in world.message("Route", "r")
        off = [{"type": "jwt-auth", "enabled": False}]
        assert World(edge(), plugin, route(plugins=off, **named)).message("Route", "r") == ""

    def test_with_tokens_the_key_filter_verifies_and_leaves_the_rest_to_the_other(self):
        made = World(edge(), route(auth={"scopes": ["a"]}, plugins=[KEYS, TOKENS])).route
        assert made.key_auth is None, "auth says nothing of keys"
        both = {"credentials": ["ApiKey", "JWT"], "scopes": ["a"], "audiences": ["service"]}
        made = World(edge(), route(auth=both, plugins=[TOKENS], realtime=True)).route
        assert (made.key_auth.deferred, made.key_auth.required) == (True, False)
        assert made.key_auth.query
        assert made.key_auth.scopes == ()
        access = made.policy(Access)
        assert (access.scopes, access.audiences, access.required) == (("a",), ("service",), True)

    def test_a_policy_of_the_gateway_protects_routes_that_say_nothing(self):
        plugin = obj("Plugin", "tokens", TOKENS | ON_EDGE)
        assert credentials(World(edge(), plugin, route())) == ("JWT",)
        assert credentials(World(edge(), plugin, route(auth={"mode": "None"}))) == ()

    def test_a_tenants_plan_is_that_of_its_callers_with_tokens(self):
        tenant = obj("Tenant", "t", {"plan": PLAN["name"]})
        plugin = {**TOKENS, "config": {"providers": [ISSUER.provider(tenant="t")]}}
        world = World(edge(), tenant, route(tenant="t", plugins=[plugin]))
        assert world.route.policy(Access).plan == PLAN["name"]
        assert world.route.policy(Access).tenants == ("t",)

    def test_a_tenants_plan_that_is_not_there_closes_the_route(self):
        tenant = obj("Tenant", "t", {"plan": "gold"})
        plugin = {**TOKENS, "config": {"providers": [ISSUER.provider(tenant="t")]}}
        world = World(edge(), tenant, route(tenant="t", plugins=[plugin]))
        assert world.route.action.status == 503
        assert "gold" in world.message("Route", "r")

    def test_access_lists_are_for_both_filters(self):
        acl = {"type": "acl", "config": {"allow": {"privilegeDomains": ["data_access"]}}}
        made = World(edge(), route(auth={}, plugins=[acl])).route
        assert made.policy(Acl).allow == AclEntries(domains=("privilege_domain:data_access",))


class TestProviders:
    def test_routes_of_one_plugin_share_its_issuers(self):
        plugin, uses = obj("Plugin", "tokens", TOKENS), [{"name": "tokens"}]
        world = World(
            edge(), plugin, route("a", plugins=uses), route("b", plugins=uses, matches=[path("/b")])
        )
        (provider,) = world.gateway.shared_of(JwtProvider)
        assert provider.name == "plugin/default/tokens/main"
        (requirement,) = world.gateway.shared_of(JwtRequirement)
        assert requirement.providers == (provider.name,)
        assert {each.policy(JwtAuth).requirement for each in world.routes()} == {requirement.name}

    def test_a_url_is_fetched_over_tls_from_its_own_cluster(self):
        url = "https://id.example.com:8443/keys?v=1"
        world = World(edge(), route(plugins=[remote(url=url, refresh="1m", timeout="1s")]))
        (provider,) = world.gateway.shared_of(JwtProvider)
        cluster = next(each for each in world.gateway.clusters if "id.example.com" in each.name)
        assert provider.jwks == RemoteJwks(cluster.name, url, 1_000, 60_000)
        assert cluster.tls.server_name == "id.example.com"
        assert cluster.name in world.route.clusters

    def test_issuers_continue_those_of_a_wider_scope(self):
        other = Issuer("https://other.example.com", "ES256")
        wide = obj("Plugin", "tokens", TOKENS | ON_EDGE)
        near = {
            "type": "jwt-auth",
            "config": {"providers": [other.provider("other")]},
            "mergeStrategy": "Append",
        }
        world = World(edge(), wide, route(plugins=[near]))
        names = world.route.policy(JwtAuth).providers
        assert [name.rpartition("/")[2] for name in names] == ["main", "other"]
        assert {each.issuer for each in world.gateway.shared_of(JwtProvider)} == {
            ISSUER.name,
            other.name,
        }

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"algorithms": []}, "algorithms"),
            ({"algorithms": ["none"]}, "algorithms"),
            ({"jwks": {}}, "give exactly one of remote, inline and secretRef"),
            ({"jwks": {"remote": {}}}, "give exactly one of url and backend"),
            ({"jwks": {"remote": {"url": "http://id.example.com/keys"}}}, "jwks.remote.url"),
            (
                {"jwks": {"remote": {"url": "https://a.example.com/k", "path": "/x"}}},
                "host and path",
            ),
            (
                {"jwks": {"remote": {"url": "https://a.example.com/k", "refresh": "1s"}}},
                "10s or more",
            ),
            ({"jwks": {"inline": "nothing"}}, "jwks.inline: is not JSON"),
            ({"from": {"header": "a", "cookie": "b"}}, "exactly one of header, cookie and query"),
            ({"from": {"cookie": "a", "prefix": "b"}}, "prefix goes with header"),
            ({"clockSkew": "0s"}, "between 1s and 10m"),
            ({"maxLifetime": "500ms"}, "must be 1s or more"),
            ({"claims": {"plan": "plan"}}, "claims.plan needs plan"),
            ({"plan": "gold"}, "config.providers[0].plan: there is no plan 'gold'"),
            ({"claimHeaders": [{"claim": "a", "header": "X-Tenant-Id"}]}, "is reserved"),
            (
                {"claimHeaders": [{"claim": "a", "header": "x"}, {"claim": "b", "header": "X"}]},
                "two claims go into the same header",
            ),
            ({"issuer": ""}, "issuer"),
        ],
    )
    def test_a_malformed_provider_closes_the_route_and_is_named(self, change, words):
        plugin = {"type": "jwt-auth", "config": {"providers": [ISSUER.provider(**change)]}}
        world = World(edge(), route(plugins=[plugin]))
        assert world.route.action.status == 503
        assert world.verdict("Route", "r") == (False, "Invalid")
        assert words in world.message("Route", "r")

    def test_a_malformed_plugin_says_so_itself(self):
        config = {"providers": [ISSUER.provider(jwks={"inline": ISSUER.jwks(alg=None)})]}
        plugin = obj("Plugin", "tokens", {"type": "jwt-auth", "config": config})
        world = World(edge(), plugin, route(plugins=[{"name": "tokens"}]))
        assert world.verdict("Plugin", "tokens") == (False, "Invalid")
        assert "config.providers[0].jwks.inline: keys[0]: needs alg" in world.message(
            "Plugin", "tokens"
        )
        assert world.route.action.status == 503


def test_envoy_gets_nothing_of_a_key_but_what_verification_needs():
    leaking = ISSUER.jwk(extra="x", key_ops=["verify"])
    config = {"providers": [ISSUER.provider(jwks={"inline": json.dumps({"keys": [leaking]})})]}
    world = World(edge(), route(plugins=[{"type": "jwt-auth", "config": config}]))
    (provider,) = world.gateway.shared_of(JwtProvider)
    passed_on = json.loads(provider.jwks.document.reveal())["keys"][0]
    assert set(passed_on) == {"kty", "alg", "crv", "x", "y", "kid"}
