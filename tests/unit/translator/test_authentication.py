"""What routes get of basic-auth, oidc, ext-authz, mtls-auth, ip-restriction and csrf."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from unit.translator.world import World, edge, obj, path, route

from fluxgate.api.parse import parse_object
from fluxgate.ir import DirectResponse
from fluxgate.ir.policies.access import Access
from fluxgate.ir.policies.basic_auth import BasicAuth
from fluxgate.ir.policies.csrf import Csrf
from fluxgate.ir.policies.ext_authz import AuthorizedBody, ExtAuthz
from fluxgate.ir.policies.ip_restriction import IpRestriction
from fluxgate.ir.policies.mtls_auth import MtlsAuth
from fluxgate.ir.policies.oidc import Oidc, OidcClient
from fluxgate.resources import Object
from fluxgate.translator.htpasswd import read_users
from fluxgate.xds.build import build_snapshot

HASH = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="
PRINT = "AB" * 32
LOGIN = {
    "issuer": "https://login.example.com",
    "authorizationEndpoint": "https://login.example.com/authorize",
    "tokenEndpoint": "https://login.example.com:8443/token?x=1",
    "clientId": "site",
    "clientSecretRef": {"name": "login"},
}


def secret(name: str, **data: str) -> Object:
    encoded = {
        key.replace("_", "-"): base64.b64encode(value.encode()).decode()
        for key, value in data.items()
    }
    metadata = {"name": name, "namespace": "default"}
    return parse_object(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": encoded}
    )


def users(text: str = f"ann:{HASH}") -> Object:
    document = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "users", "namespace": "default"},
        "data": {".htpasswd": base64.b64encode(text.encode()).decode()},
    }
    return parse_object(document)


def using(kind: str, config: dict[str, Any], *others: Object, **spec: Any) -> World:
    plugins = [{"type": kind, "config": config}]
    return World(edge(), *others, route(plugins=plugins, **spec))


def closed(world: World) -> bool:
    action = world.route.action
    return isinstance(action, DirectResponse) and action.status == 503


class TestIpRestriction:
    def test_blocks_are_written_in_one_way(self) -> None:
        world = using(
            "ip-restriction", {"allow": ["10.1.2.3/8", "2001:DB8::1"], "deny": ["1.2.3.4"]}
        )
        rule = world.route.policy(IpRestriction)
        assert rule == IpRestriction(("10.0.0.0/8", "2001:db8::1/128"), ("1.2.3.4/32",))

    def test_a_config_that_says_nothing_closes_the_route(self) -> None:
        world = using("ip-restriction", {"allow": []})
        assert closed(world)
        assert "give allow or deny" in world.message("Route", "r")


class TestMtlsAuth:
    def test_fingerprints_are_written_in_one_way(self) -> None:
        colons = ":".join(["AB"] * 32)
        world = using("mtls-auth", {"fingerprints": [PRINT, colons]})
        rule = world.route.policy(MtlsAuth)
        assert rule == MtlsAuth(fingerprints=(PRINT.lower(),) * 2)

    def test_it_verifies_a_credential(self) -> None:
        access = using("mtls-auth", {}).route.policy(Access)
        assert access is not None
        assert (access.credentials, access.required) == (("MTLS",), True)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("spiffeIds", "https://example.com/a"),
            ("spiffeIds", "spiffe://example.com/a*"),
            ("spiffeIds", "spiffe://example.com/*/b"),
            ("uris", "no uri"),
            ("dnsNames", "*"),
            ("emails", "nobody"),
            ("fingerprints", "AB" * 20),
            ("subjects", "CN=a\nb"),
        ],
    )
    def test_a_name_that_is_none_closes_the_route(self, field: str, value: str) -> None:
        world = using("mtls-auth", {field: [value]})
        assert closed(world)
        assert world.message("Route", "r").startswith(f"spec.plugins[0].config.{field}")


class TestCsrf:
    def test_origins_are_sites_without_a_scheme(self) -> None:
        world = using("csrf", {"additionalOrigins": ["*.example.com", "a.example.com:8443"]})
        assert world.route.policy(Csrf) == Csrf(("*.example.com", "a.example.com:8443"))
        for wrong in ("https://a.example.com", "*", "a.example.com/", "a.example.com:0"):
            assert closed(using("csrf", {"additionalOrigins": [wrong]}))


class TestBasicAuth:
    def test_users_come_from_the_secret(self) -> None:
        config = {"usersRef": {"name": "users"}, "realm": "R", "forwardCredentials": True}
        rule = using("basic-auth", config, users(f"# x\n\n ann:{HASH} \nben:{HASH}")).route.policy(
            BasicAuth
        )
        assert rule is not None
        assert rule.users.reveal().decode() == f"ann:{HASH}\nben:{HASH}"
        assert (rule.realm, rule.forward) == ("R", True)
        assert HASH not in repr(rule)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "# nobody",
            "ann",
            f":{HASH}",
            "ann:",
            "ann:plain",
            "ann:$apr1$abc$def",
            "ann:{SHA}short",
            "ann:{SHA}!!!!!!!!!!!!!!!!!!!!!!!!!!!=",
            f"ann:{HASH}\nann:{HASH}",
            f"a\x00nn:{HASH}",
            f"ann:{HASH}x",
        ],
    )
    def test_users_that_envoy_would_refuse_close_the_route_here(self, text: str) -> None:
        world = using("basic-auth", {"usersRef": {"name": "users"}}, users(text))
        assert closed(world)
        assert world.message("Route", "r").startswith("spec.plugins[0].config.usersRef: ")

    def test_a_message_names_the_line_and_never_what_stands_there(self) -> None:
        with pytest.raises(ValueError, match="line 2") as raised:
            read_users(f"ann:{HASH}\nben:hunter2".encode())
        assert "hunter2" not in str(raised.value)
        assert "ben" not in str(raised.value)

    def test_a_file_that_is_no_text_is_refused(self) -> None:
        with pytest.raises(ValueError, match="UTF-8"):
            read_users(b"ann:\xff")

    def test_a_realm_cannot_end_its_quotes(self) -> None:
        world = using("basic-auth", {"usersRef": {"name": "users"}, "realm": 'a", x="'}, users())
        assert closed(world)

    def test_a_class_of_credentials_that_no_policy_verifies_closes_the_route(self) -> None:
        for each in ("Basic", "OIDC", "MTLS"):
            world = World(edge(), route(auth={"credentials": [each]}))
            assert closed(world)
            assert f"{each} needs a policy of type" in world.message("Route", "r")


class TestOidc:
    def login(self, *others: Object, **config: Any) -> Oidc:
        spec = {"plugins": [{"type": "oidc", "config": {**LOGIN, **config}}]}
        world = World(edge(), secret("login", client_secret="s"), *others, route(**spec))
        rule = world.route.policy(Oidc)
        assert rule is not None, world.message("Route", "r")
        return rule

    def clients(self, *routes: Object, given: str = "") -> list[OidcClient]:
        data = {"client_secret": "s", **({"cookie_secret": given} if given else {})}
        world = World(edge(), secret("login", **data), *routes)
        return list(world.gateway.shared_of(OidcClient))

    def on(self, name: str) -> Object:
        use = {
            "type": "oidc",
            "config": {**LOGIN, "callbackPath": f"/{name}/c", "logoutPath": f"/{name}/l"},
        }
        return route(name, matches=[path(f"/{name}")], plugins=[use])

    def test_the_token_endpoint_is_reached_by_its_own_url(self) -> None:
        rule = self.login()
        assert rule.provider.token_endpoint == LOGIN["tokenEndpoint"]
        assert "login.example.com" in rule.provider.cluster

    def test_a_backend_reaches_it_otherwise(self) -> None:
        rule = self.login(backend={"url": "http://10.0.0.9:8080"})
        assert "10.0.0.9" in rule.provider.cluster
        assert rule.provider.token_endpoint == LOGIN["tokenEndpoint"]

    def test_cookies_of_every_policy_have_a_secret_of_their_own_that_stays_the_same(self) -> None:
        first, second = self.clients(self.on("a"), self.on("b"))
        assert first.cookie_secret.reveal() != second.cookie_secret.reveal()
        assert len(first.cookie_secret.reveal()) == 64
        assert first.cookie_secret.reveal() != b"s"
        assert self.clients(self.on("a"), self.on("b")) == [first, second]

    def test_a_cookie_secret_of_the_users_is_taken_as_it_is(self) -> None:
        (client,) = self.clients(self.on("a"), given="x" * 32)
        assert client.cookie_secret.reveal() == b"x" * 32

    def test_secrets_are_in_no_route_and_in_no_text(self) -> None:
        world = World(edge(), secret("login", client_secret="hunter-22"), self.on("a"))
        assert "hunter-22" not in repr(world.gateway)
        for named in build_snapshot(world.gateway).resources.values():
            for resource in named.values():
                holds = b"hunter-22" in resource.payload
                assert holds == (resource.name.endswith("/client")), resource.name

    def test_a_login_may_only_lead_back_to_the_routes_hosts(self) -> None:
        spec = {"plugins": [{"type": "oidc", "config": LOGIN}], "hosts": ["a.example.com"]}
        world = World(edge(), secret("login", client_secret="s"), route(**spec))
        (found,) = world.routes("a.example.com")
        rule = found.policy(Oidc)
        assert rule is not None
        assert rule.redirect_hosts == ("a.example.com",)
        assert self.login().redirect_hosts == ()
        assert self.login(publicOrigin="https://B.example.com:8443").redirect_hosts == (
            "b.example.com",
        )

    @pytest.mark.parametrize(
        ("match", "fits"),
        [
            (path("/oauth2"), True),
            (path("/"), True),
            (path("/oauth"), False),
            (path("/oauth2/callback", "Exact"), False),
            (path("/{any=**}", "Template"), True),
        ],
    )
    def test_a_login_of_one_route_has_to_end_there(self, match: dict[str, Any], fits: bool) -> None:
        use = {"type": "oidc", "config": LOGIN}
        world = World(
            edge(), secret("login", client_secret="s"), route(matches=[match], plugins=[use])
        )
        assert closed(world) != fits

    def test_of_a_plugin_any_of_several_routes_may_be_the_end(self) -> None:
        plugin = obj("Plugin", "login", {"type": "oidc", "config": LOGIN})
        use = [{"name": "login"}]
        world = World(
            edge(),
            secret("login", client_secret="s"),
            plugin,
            route("r", matches=[path("/app")], plugins=use),
        )
        assert not closed(world)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"tokenEndpoint": "http://login.example.com/token"}, "tokenEndpoint"),
            ({"issuer": "login.example.com"}, "issuer"),
            ({"scopes": ["email"]}, "scopes"),
            ({"scopes": ["openid", 'a"b']}, "scopes[1]"),
            ({"callbackPath": "/a?b"}, "callbackPath"),
            ({"callbackPath": "//evil.example.com"}, "callbackPath"),
            ({"callbackPath": "/oauth2/logout"}, "logoutPath"),
            ({"sameSite": "Strict"}, "sameSite"),
            ({"clientId": "a b"}, "clientId"),
            ({"refreshLifetime": "0s"}, "refreshLifetime"),
            ({"clientSecret": "s"}, "clientSecret"),
        ],
    )
    def test_a_wrong_field_closes_the_route_and_is_named(
        self, changes: dict[str, Any], field: str
    ) -> None:
        use = {"type": "oidc", "config": {**LOGIN, **changes}}
        world = World(edge(), secret("login", client_secret="s"), route(plugins=[use]))
        assert closed(world)
        assert f"spec.plugins[0].config.{field}" in world.message("Route", "r")


class TestExtAuthz:
    HTTP: dict[str, Any] = {"http": {"backend": {"url": "http://10.0.0.9:8080"}}}  # noqa: RUF012

    def test_it_is_closed_and_sees_little_unless_told_otherwise(self) -> None:
        rule = using("ext-authz", self.HTTP).route.policy(ExtAuthz)
        assert rule is not None
        assert (rule.fail_open, rule.status_on_error, rule.body) == (False, 503, None)
        assert rule.request_headers == ("authorization", "cookie", "x-request-id")
        assert rule.upstream_headers == ()

    def test_names_are_in_lower_case_and_a_body_is_bounded(self) -> None:
        config = {**self.HTTP, "upstreamHeaders": ["X-A", "X-B-*"], "body": {"maxBytes": 5}}
        rule = using("ext-authz", config).route.policy(ExtAuthz)
        assert rule is not None
        assert rule.upstream_headers == ("x-a", "x-b-*")
        assert rule.body == AuthorizedBody(5, partial=False)

    def test_a_grpc_service_is_spoken_to_in_http_2(self) -> None:
        config = {"grpc": {"backend": {"url": "http://10.0.0.9:8080"}}}
        world = using("ext-authz", config)
        rule = world.route.policy(ExtAuthz)
        assert rule is not None
        (cluster,) = [each for each in world.gateway.clusters if each.name == rule.cluster]
        assert cluster.protocol == "HTTP2"

    @pytest.mark.parametrize(
        ("config", "field"),
        [
            ({}, "config"),
            ({**HTTP, "grpc": HTTP["http"]}, "config"),
            ({**HTTP, "statusOnError": 200}, "config.statusOnError"),
            ({**HTTP, "timeout": "5ms"}, "config.timeout"),
            ({**HTTP, "body": {"maxBytes": 0}}, "config.body.maxBytes"),
            ({**HTTP, "requestHeaders": ["a*b"]}, "config.requestHeaders[0]"),
            ({**HTTP, "includeClientCertificate": True}, "config.includeClientCertificate"),
            ({"http": {**HTTP["http"], "path": "check"}}, "config.http.path"),
        ],
    )
    def test_a_wrong_field_closes_the_route_and_is_named(
        self, config: dict[str, Any], field: str
    ) -> None:
        world = using("ext-authz", config)
        assert closed(world)
        assert f"spec.plugins[0].{field}" in world.message("Route", "r")
