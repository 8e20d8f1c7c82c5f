"""What extension policies become in the IR, and who may bring them."""

from __future__ import annotations

import pytest
from support.documents import Document, condition, gateway, obj, route, translated

from fluxgate.ir import DirectResponse, Forward, HTTPRoute
from fluxgate.ir.policies.ext_proc import ExtProc
from fluxgate.ir.policies.lua import Lua
from fluxgate.ir.policies.mcp import Mcp
from fluxgate.resources import ObjectRef

LUA = {"lua": {"source": "function envoy_on_request() end"}}
RESOURCE = "https://api.example.com/mcp"
JWT = {
    "jwt-auth": {
        "providers": [
            {
                "name": "main",
                "issuer": "https://id.example.com/",
                "audiences": [RESOURCE],
                "algorithms": ["RS256"],
                "jwks": {"remote": {"url": "https://id.example.com/jwks.json"}},
            }
        ]
    }
}
MCP = {"mcp": {"resource": RESOURCE, "authorizationServers": ["https://id.example.com/"]}}


def routes(*documents: Document) -> dict[str, HTTPRoute]:
    (served,) = translated(*documents).gateways.values()
    found = [
        each
        for table in served.route_tables
        for host in table.virtual_hosts
        for each in host.routes
    ]
    return {each.name.removeprefix("route/default/"): each for each in found}


def test_a_script_knows_its_backends_by_their_clusters() -> None:
    side = {"backends": {"side": {"url": "http://127.0.0.1:9"}}}
    built = routes(
        gateway(extensions={"allow": ["lua"]}), route("a", 8, {"lua": {**LUA["lua"], **side}})
    )
    script = built["a/0"].policy(Lua)
    assert script is not None
    ((name, cluster),) = script.backends
    assert name == "side"
    assert built["a/0"].clusters == (cluster,)


@pytest.mark.parametrize(
    ("extensions", "tenant", "admitted"),
    [
        ({}, None, False),
        ({"allow": ["wasm"]}, None, False),
        ({"allow": ["lua"]}, None, True),
        ({"allow": ["lua"]}, "acme", False),
        ({"allow": ["lua"], "allowTenants": ["lua"]}, "acme", True),
    ],
)
def test_code_needs_the_operators_word(
    extensions: Document, tenant: str | None, *, admitted: bool
) -> None:
    extra = {"tenant": tenant} if tenant else {}
    documents = (
        gateway(extensions=extensions),
        obj("Tenant", "acme", {}),
        route("a", 8, LUA, **extra),
    )
    assert isinstance(routes(*documents)["a/0"].action, Forward) is admitted
    assert condition(translated(*documents), "Route", "a", "ResolvedRefs").status is admitted


def test_a_namespace_that_is_a_tenants_makes_its_plugins_the_tenants() -> None:
    """A Plugin there need not say whose it is."""
    documents = (
        gateway(extensions={"allow": ["lua"]}),
        obj("Tenant", "acme", {"namespace": "default"}),
        obj("Plugin", "code", {"type": "lua", "config": LUA["lua"]}),
        route("a", 8, plugins=[{"name": "code"}]),
    )
    # the Tenant lives elsewhere and claims the namespace of the objects
    documents[1]["metadata"]["namespace"] = "operators"
    found = condition(translated(*documents), "Route", "a", "ResolvedRefs")
    assert "allowTenants" in found.message


def test_the_routes_chain_names_the_plugin_to_blame() -> None:
    documents = (
        gateway(extensions={"allow": ["lua"]}),
        obj("Plugin", "code", {"type": "lua", "config": LUA["lua"]}),
        route("a", 8, plugins=[{"name": "code"}]),
    )
    built = routes(*documents)["a/0"]
    assert built.made_from == (
        ObjectRef("Route", "default", "a"),
        ObjectRef("Plugin", "default", "code"),
    )


def test_a_processor_is_called_over_http2() -> None:
    config = {"ext-proc": {"backend": {"url": "http://127.0.0.1:9"}}}
    (served,) = translated(gateway(), route("a", 8, config)).gateways.values()
    built = routes(gateway(), route("a", 8, config))["a/0"].policy(ExtProc)
    assert built is not None
    (cluster,) = [each for each in served.clusters if each.name == built.cluster]
    assert cluster.protocol == "GRPC"


def test_an_mcp_server_streams_and_its_metadata_stands_beside() -> None:
    built = routes(gateway(), route("a", 8, JWT, MCP, path="/mcp"))
    action, beside = built["a/0"].action, built["a/0/protected-resource"]
    assert isinstance(action, Forward)
    assert (action.timeout_ms, action.idle_timeout_ms) == (0, 3_600_000)
    assert beside.match.path.value == "/.well-known/oauth-protected-resource/mcp"
    assert isinstance(beside.action, DirectResponse)
    assert beside.policies == ()
    policy = built["a/0"].policy(Mcp)
    assert policy == Mcp(
        'resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"',
        None,
        1024 * 1024,
    )


def test_an_mcp_server_that_is_closed_has_no_metadata() -> None:
    assert "a/0/protected-resource" not in routes(gateway(), route("a", 8, MCP))


def test_the_routes_own_timeouts_win_over_streaming() -> None:
    built = routes(gateway(), route("a", 8, JWT, MCP, timeouts={"request": "5s"}))
    action = built["a/0"].action
    assert isinstance(action, Forward)
    assert action.timeout_ms == 5000
