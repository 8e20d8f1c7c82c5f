"""Plugins, CORS, authentication and limits of routes."""

from __future__ import annotations

import pytest
from unit.translator.world import World, edge, key, obj, path, route

from fluxgate.ir import Forward, PlanBucket, ValueKind

ORIGINS = {"allowOrigins": ["https://app.example.com"]}


def cors_plugin(name: str, origin: str, *targets: tuple[str, str]):
    config = {"allowOrigins": [f"https://{origin}.example.com"]}
    spec = {"type": "cors", "config": config}
    spec["targets"] = [{"kind": kind, "name": target} for kind, target in targets]
    return obj("Plugin", name, spec)


class TestScopes:
    SCOPES = (
        cors_plugin("p-gateway", "gateway", ("GatewayConfig", "edge")),
        cors_plugin("p-tenant", "tenant", ("Tenant", "t")),
        cors_plugin("p-backend", "backend", ("Backend", "b")),
        cors_plugin("p-route", "route", ("Route", "r")),
    )

    @pytest.mark.parametrize(
        ("present", "expected"), [(1, "gateway"), (2, "tenant"), (3, "backend"), (4, "route")]
    )
    def test_the_nearest_scope_wins(self, present, expected):
        world = World(
            edge(),
            obj("Tenant", "t"),
            obj("Backend", "b", {"url": "http://127.0.0.1:1"}),
            *self.SCOPES[:present],
            route(tenant="t", backends=[{"name": "b"}]),
        )
        assert world.routes()[0].cors.allow_origins == (f"https://{expected}.example.com",)

    def test_what_the_route_says_itself_wins_over_every_plugin(self):
        world = World(edge(), self.SCOPES[3], route(cors=ORIGINS))
        assert world.routes()[0].cors.allow_origins == ("https://app.example.com",)

    def test_a_route_switches_a_type_off(self):
        use = {"type": "cors", "enabled": False}
        world = World(edge(cors={}), self.SCOPES[0], route(plugins=[use]))
        assert world.route.cors is None

    def test_a_disabled_plugin_is_not_applied(self):
        plugin = obj(
            "Plugin",
            "p",
            {"type": "key-auth", "enabled": False, "targets": [{"kind": "Route", "name": "r"}]},
        )
        world = World(edge(), plugin, route())
        assert world.route.key_auth is None
        assert world.verdict("Plugin", "p") == (False, "Disabled")


class TestBroken:
    def test_an_unknown_type_is_told_the_known_ones_and_closes_the_route(self):
        plugin = obj("Plugin", "p", {"type": "telepathy"})
        world = World(edge(), plugin, route(plugins=[{"name": "p"}]))
        assert world.verdict("Plugin", "p") == (False, "UnsupportedType")
        assert "cors, csrf, direct-response" in world.message("Plugin", "p")
        assert world.route.action.status == 503

    def test_a_wrong_config_names_the_field(self):
        plugin = obj("Plugin", "p", {"type": "key-auth", "config": {"scope": ["a"]}})
        world = World(edge(), plugin)
        assert world.verdict("Plugin", "p") == (False, "Invalid")
        assert "spec.config.scope: unknown field; did you mean scopes?" in world.message(
            "Plugin", "p"
        )

    def test_a_missing_plugin_closes_the_route(self):
        world = World(edge(), route(plugins=[{"name": "gone"}]))
        assert world.route.action.status == 503
        assert "spec.plugins[0]: Plugin default/gone does not exist" in world.message(
            "Route", "r", "ResolvedRefs"
        )

    def test_a_broken_cors_policy_does_not_close_the_route(self):
        world = World(edge(), route(plugins=[{"type": "cors", "config": {"no": 1}}]))
        assert isinstance(world.route.action, Forward)
        assert world.verdict("Route", "r") == (False, "Invalid")

    def test_a_closed_route_stays_in_front_of_a_less_protected_one(self):
        world = World(
            edge(), route("open"), route("shut", matches=[path("/s")], plugins=[{"name": "gone"}])
        )
        assert [each.origin.name for each in world.routes()] == ["shut", "open"]


class TestAuthentication:
    def test_scopes_and_domains_are_asked_of_the_key(self):
        auth = {"scopes": ["orders:read"], "privilegeDomain": "data_access", "audiences": ["anon"]}
        found = World(edge(), route(auth=auth)).route.key_auth
        assert found.scopes == ("orders:read", "privilege_domain:data_access")
        assert found.audiences == ("anon",)

    @pytest.mark.parametrize(("mode", "required"), [("Required", True), ("Optional", False)])
    def test_optional_lets_requests_without_a_key_pass(self, mode, required):
        assert World(edge(), route(auth={"mode": mode})).route.key_auth.required is required

    def test_none_opens_the_route_whatever_the_gateway_says(self):
        plugin = obj(
            "Plugin",
            "p",
            {"type": "key-auth", "targets": [{"kind": "GatewayConfig", "name": "edge"}]},
        )
        assert World(edge(), plugin, route()).route.key_auth is not None
        assert World(edge(), plugin, route(auth={"mode": "None"})).route.key_auth is None

    def test_a_credential_that_cannot_be_verified_closes_the_route(self):
        world = World(edge(), route(auth={"credentials": ["JWT"]}))
        assert world.route.action.status == 503
        assert world.verdict("Route", "r") == (False, "Invalid")
        assert "JWT needs a policy of type jwt-auth" in world.message("Route", "r")


class TestLimits:
    def test_a_route_counts_on_a_plan_of_the_gateway(self):
        assert World(edge(), route(rateLimit={"plan": "demo"})).route.plan == "demo"

    def test_a_route_may_bring_numbers_of_its_own(self):
        world = World(edge(), route(rateLimit={"requests": 5, "window": "10s"}))
        assert world.route.plan == "route/default/r"
        assert PlanBucket("route/default/r", 5, 10_000, 5) in world.gateway.plans

    def test_routes_share_the_bucket_of_a_plugin(self):
        plugin = obj("Plugin", "p", {"type": "rate-limit", "config": {"requests": 5}})
        uses = [{"name": "p"}]
        world = World(
            edge(), plugin, route("a", plugins=uses), route("b", matches=[path("/b")], plugins=uses)
        )
        assert {each.plan for each in world.routes()} == {"plugin/default/p"}

    def test_an_unknown_plan_closes_the_route_instead_of_lifting_the_limit(self):
        world = World(edge(), route(rateLimit={"plan": "gold"}))
        assert world.route.action.status == 503
        assert "known: demo" in world.message("Route", "r", "ResolvedRefs")


class TestPreflight:
    def test_a_route_that_takes_options_needs_no_sibling(self):
        assert len(World(edge(), route(cors={})).routes()) == 1

    def test_a_route_with_methods_gets_a_sibling_as_protected_as_itself(self):
        matches = [path("/a", methods=["POST", "GET"])]
        own, preflight = sorted(
            World(edge(), route(cors=ORIGINS, auth={}, matches=matches)).routes(),
            key=lambda each: each.name,
        )
        assert preflight.name == "route/default/r/0/preflight"
        assert preflight.match.path == own.match.path
        assert preflight.match.methods == ("OPTIONS",)
        method, origin = preflight.match.headers
        assert (method.name, method.kind, method.value) == (
            "access-control-request-method",
            ValueKind.REGEX,
            "GET|POST",
        )
        assert (origin.name, origin.kind, origin.value) == ("origin", ValueKind.REGEX, ".+")
        assert preflight.cors == own.cors
        assert preflight.action == own.action
        assert preflight.plan == own.plan
        assert preflight.key_auth == own.key_auth
        assert own.key_auth is not None

    def test_header_and_credential_conditions_do_not_reach_the_sibling(self):
        matches = [path("/", headers=[{"name": "x-v", "value": "1"}], credential="ApiKey")]
        routes = World(edge(), route(cors={}, matches=matches)).routes()
        preflight = next(each for each in routes if each.name.endswith("preflight"))
        assert "x-v" not in {each.name for each in preflight.match.headers}
        assert preflight.match.credential is None

    def test_siblings_of_two_routes_never_conflict(self):
        one = [path("/", headers=[{"name": "x-v", "value": "1"}])]
        other = [path("/", headers=[{"name": "x-v", "value": "2"}])]
        world = World(edge(cors={}), route("a", matches=one), route("b", matches=other))
        assert world.verdict("Route", "a") == world.verdict("Route", "b") == (True, "Accepted")
        assert sum(each.name.endswith("preflight") for each in world.routes()) == 1

    def test_a_tenants_origins_may_write_and_any_may_read(self):
        tenant = obj("Tenant", "t", {"corsOrigins": ["https://app.example.com"]})
        routes = {
            each.name.partition("/r/")[2]: each
            for each in World(edge(), tenant, route(tenant="t")).routes()
        }
        assert set(routes) == {"0", "0/read", "0/read/preflight"}
        assert routes["0/read"].cors.allow_origins == ("*",)
        assert routes["0/read"].match.methods == ("GET", "HEAD")
        assert routes["0"].cors.allow_origins == ("https://app.example.com",)
        assert "POST" in routes["0"].cors.allow_methods


class TestTenancy:
    def test_hosts_outside_the_tenants_are_not_served(self):
        tenant = obj("Tenant", "t", {"hosts": ["*.t.example.com"]})
        world = World(
            edge(), tenant, route(tenant="t", hosts=["a.t.example.com", "other.example.com"])
        )
        assert world.routes("other.example.com") == ()
        assert len(world.routes("a.t.example.com")) == 1
        assert world.verdict("Route", "r") == (True, "HostNotAllowed")

    def test_a_route_with_no_allowed_host_is_not_accepted(self):
        tenant = obj("Tenant", "t", {"hosts": ["t.example.com"]})
        world = World(edge(), tenant, route(tenant="t", hosts=["*"]))
        assert world.verdict("Route", "r") == (False, "HostNotAllowed")

    def test_a_route_without_hosts_gets_its_tenants(self):
        tenant = obj("Tenant", "t", {"hosts": ["t.example.com"]})
        world = World(edge(), tenant, route(tenant="t"))
        assert world.routes("*") == ()
        assert len(world.routes("t.example.com")) == 1

    def test_a_route_of_an_unknown_tenant_claims_nothing(self):
        world = World(edge(), route(tenant="gone"))
        assert world.routes() == ()
        assert world.verdict("Route", "r", "ResolvedRefs") == (False, "RefNotFound")

    def test_leaving_the_tenant_out_does_not_escape_a_tenants_namespace(self):
        tenant = obj("Tenant", "t", {"namespace": "team", "hosts": ["t.example.com"]})
        world = World(edge(), tenant, route(namespace="team", hosts=["admin.example.com"]))
        assert world.verdict("Route", "r", namespace="team") == (False, "HostNotAllowed")

    def test_a_tenants_route_takes_only_its_own_keys(self):
        world = World(edge(), obj("Tenant", "t"), route(tenant="t", auth={}))
        assert world.route.key_auth.tenants == ("t",)

    def test_another_tenants_backend_may_not_be_used(self):
        backend = obj("Backend", "b", {"url": "http://127.0.0.1:1", "tenant": "other"})
        world = World(
            edge(),
            obj("Tenant", "t"),
            obj("Tenant", "other"),
            backend,
            route(tenant="t", backends=[{"name": "b"}]),
        )
        assert world.verdict("Route", "r", "ResolvedRefs") == (False, "RefNotPermitted")

    def test_a_tenant_name_is_an_identity_across_namespaces(self):
        old = obj("Tenant", "t", namespace="a", creationTimestamp="2026-01-01T00:00:00Z")
        new = obj("Tenant", "t", namespace="b", creationTimestamp="2026-01-02T00:00:00Z")
        world = World(edge(), old, new)
        assert world.verdict("Tenant", "t", namespace="a") == (True, "Accepted")
        assert world.verdict("Tenant", "t", namespace="b") == (False, "Conflicted")


class TestKeys:
    def test_a_key_carries_its_identity(self):
        tenant = obj("Tenant", "t", {"plan": "demo"})
        spec = {
            "tenant": "t", "workspace": "w", "role": "app", "scopes": ["a:read"],
            "expiresAt": "2030-01-01T00:00:00Z", "allowedCidrs": ["10.0.0.0/8"],
            "privilegeDomains": ["data_access"],
        }  # fmt: skip
        (found,) = World(edge(), tenant, key(**spec)).gateway.api_keys.keys
        assert (found.tenant, found.workspace, found.role) == ("t", "w", "app")
        assert (found.key_id, found.subject, found.audience) == (
            "default/k",
            "default/k",
            "service",
        )
        assert found.scopes == ("a:read", "privilege_domain:data_access")
        assert (found.plan, found.expires_at) == ("demo", 1893456000)

    def test_keys_are_sorted_by_digest(self):
        world = World(edge(), key("z", "1"), key("a", "2"), key("m", "0"))
        assert [each.sha256[0] for each in world.gateway.api_keys.keys] == ["0", "1", "2"]

    @pytest.mark.parametrize(
        ("spec", "condition", "reason"),
        [
            ({"revoked": True}, "Accepted", "Disabled"),
            ({"revokedAt": "2026-01-01T00:00:00Z"}, "Accepted", "Disabled"),
            ({"tenant": "asleep"}, "Accepted", "Disabled"),
            ({"tenant": "gone"}, "ResolvedRefs", "RefNotFound"),
            ({"plan": "gold"}, "ResolvedRefs", "RefNotFound"),
            ({"prefix": "other_"}, "Accepted", "NoGateway"),
        ],
    )
    def test_a_key_that_is_not_clear_is_left_out(self, spec, condition, reason):
        world = World(edge(), obj("Tenant", "asleep", {"suspended": True}), key(**spec))
        assert world.gateway.api_keys.keys == ()
        assert world.verdict("ApiKey", "k", condition) == (False, reason)

    def test_an_anon_format_never_bypasses_row_security(self):
        formats = {"formats": [{"prefix": "pub_", "audience": "anon"}]}
        world = World(edge(apiKeys=formats), key(prefix="pub_", bypassesRowSecurity=True))
        assert world.gateway.api_keys.keys == ()
        assert world.verdict("ApiKey", "k") == (False, "Invalid")

    def test_the_older_of_two_keys_with_one_digest_counts(self):
        world = World(edge(), key("a"), key("b"))
        assert [each.origin.name for each in world.gateway.api_keys.keys] == ["a"]
        assert world.verdict("ApiKey", "b") == (False, "Conflicted")
