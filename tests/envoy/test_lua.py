"""``lua``, run by the real Envoy: what scripts can do, and what they cannot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.callers import api_key, key_text
from support.documents import CLOSED, Document, Documents, gateway, obj, route
from support.upstream import EchoUpstream

from fluxgate.status import Reason

pytestmark = pytest.mark.envoy

STAMP = """
function envoy_on_request(handle)
  handle:headers():add("x-request-stamp", "seen")
end
function envoy_on_response(handle)
  handle:headers():add("x-response-stamp", "seen")
end
"""
BODY = """
function envoy_on_request(handle)
  local body = handle:body()
  local text = body:getBytes(0, body:length())
  handle:headers():replace("content-length", tostring(body:setBytes(string.upper(text))))
end
"""
REFUSE = """
function envoy_on_request(handle)
  handle:respond({[":status"] = "418"}, "short and stout")
end
"""
FAIL_ON_REQUEST = 'function envoy_on_request(handle) error("no luck") end'
FAIL_ON_RESPONSE = "function envoy_on_response(handle) local x = nil; x.y = 1 end"
FORGE = """
function envoy_on_request(handle)
  local headers = handle:headers()
  headers:replace("x-auth-key-id", "somebody-else")
  headers:add("x-tenant-id", "somebody-else")
  headers:remove("x-auth-subject")
end
"""
FORGE_AND_FAIL = FORGE.replace("end\n", '  error("after forging")\nend\n')
FORGE_WHILE_STREAMING = """
function envoy_on_request(handle)
  handle:headers():add("x-tenant-id", "somebody-else")
  for chunk in handle:bodyChunks() do
    handle:headers():add("x-workspace-id", "somebody-else")
  end
end
"""
REACH_OUT = """
function envoy_on_request(handle)
  local reached = {}
  for _, name in ipairs({"io", "require", "package", "debug", "ffi", "jit", "load", "loadstring",
      "loadfile", "dofile", "getfenv", "setfenv", "getmetatable", "newproxy", "collectgarbage",
      "coroutine", "module", "envoy_on_response_of_others"}) do
    if _G[name] ~= nil then table.insert(reached, name) end
  end
  for _, name in ipairs({"execute", "getenv", "remove", "exit", "tmpname"}) do
    if os[name] ~= nil then table.insert(reached, "os." .. name) end
  end
  for _, name in ipairs({"clearRouteCache", "setUpstreamOverrideHost"}) do
    if handle[name] ~= nil then table.insert(reached, name) end
  end
  if string.dump ~= nil or ("").dump ~= nil then table.insert(reached, "dump") end
  if handle:streamInfo().filterState ~= nil then table.insert(reached, "filterState") end
  handle:headers():add("x-reached", table.concat(reached, ","))
end
"""
METADATA = """
function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set("fluxgate.auth", "tenant", "somebody-else")
end
"""
CALL = """
function envoy_on_request(handle)
  local headers, body = handle:httpCall("side", {
    [":method"] = "POST", [":path"] = "/called", [":authority"] = "side.example.com",
    ["X-Tenant-Id"] = "somebody-else",
  }, "hello", 2000)
  handle:headers():add("x-called", headers[":status"])
end
"""
CALL_STRANGER = CALL.replace('"side",', '"default/elsewhere",')
REROUTE = """
function envoy_on_request(handle)
  handle:headers():replace(":path", "/guarded/secret")
end
"""
SYNTAX = "function envoy_on_request(handle) end end"


def lua(source: str, **config: Document) -> Document:
    return {"lua": {"source": source, **config}}


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def side() -> Iterator[EchoUpstream]:
    with EchoUpstream("side") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def guarded() -> Iterator[EchoUpstream]:
    with EchoUpstream("guarded") as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(echo: EchoUpstream, guarded: EchoUpstream, side: EchoUpstream) -> Iterator[Documents]:
    keyed = {"auth": {"mode": "Required"}}
    backends = {"side": {"url": f"http://127.0.0.1:{side.port}"}}
    documents = (
        gateway(extensions={"allow": ["lua"]}),
        api_key("caller", tenant="acme"),
        obj("Tenant", "acme", {}),
        route("stamp", echo.port, lua(STAMP)),
        route("other", echo.port),
        route("body", echo.port, lua(BODY)),
        route("refuse", echo.port, lua(REFUSE)),
        route("fail-request", echo.port, lua(FAIL_ON_REQUEST)),
        route("fail-response", echo.port, lua(FAIL_ON_RESPONSE)),
        route("forge", echo.port, lua(FORGE), **keyed),
        route("forge-and-fail", echo.port, lua(FORGE_AND_FAIL), **keyed),
        route("forge-open", echo.port, lua(FORGE)),
        route("forge-streaming", echo.port, lua(FORGE_WHILE_STREAMING)),
        route("reach-out", echo.port, lua(REACH_OUT)),
        route("metadata", echo.port, lua(METADATA)),
        route("call", echo.port, lua(CALL, backends=backends)),
        route("call-stranger", echo.port, lua(CALL_STRANGER, backends=backends)),
        route("reroute", echo.port, lua(REROUTE)),
        route("guarded", guarded.port, **keyed),
        route("too-large", echo.port, lua("-- " + "x" * 40_000)),
        route("binary", echo.port, lua("\x1bLJ\x02")),
    )
    with Documents(*documents) as running:
        yield running


def test_a_script_sees_and_changes_requests_and_answers(served: Documents) -> None:
    answer = served.get("/stamp")
    assert answer.echoed("x-request-stamp") == ["seen"]
    assert answer.header("x-response-stamp") == "seen"


def test_other_routes_know_nothing_of_it(served: Documents) -> None:
    answer = served.get("/other")
    assert answer.echoed("x-request-stamp") == []
    assert answer.header("x-response-stamp") is None


def test_a_script_changes_the_body(served: Documents) -> None:
    answer = served.get("/body", method="POST", body=b"quiet")
    assert answer.json()["body"] == "QUIET"


def test_a_script_answers_instead_of_the_upstream(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    answer = served.get("/refuse")
    assert (answer.status, answer.json()["message"]) == (418, "short and stout")
    assert echo.requests == []


def test_a_request_hook_that_fails_ends_the_request(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    assert served.get("/fail-request").status == 500
    assert echo.requests == []


def test_a_response_hook_that_fails_hides_the_answer(served: Documents) -> None:
    answer = served.get("/fail-response")
    assert answer.status == 500
    assert answer.json()["error"] == "internal_error"


def test_the_identity_of_the_caller_is_what_authentication_found(served: Documents) -> None:
    answer = served.get("/forge", [("apikey", key_text("caller"))])
    assert answer.status == 200
    assert answer.echoed("x-auth-key-id") == ["default/caller"]
    assert answer.echoed("x-tenant-id") == ["acme"]
    assert answer.echoed("x-auth-subject") == ["default/caller"]


def test_nobody_becomes_somebody_where_there_is_no_authentication(served: Documents) -> None:
    answer = served.get("/forge-open", [("x-pg-role", "postgres")])
    for header in ("x-auth-key-id", "x-tenant-id", "x-pg-role"):
        assert answer.echoed(header) == []


def test_a_script_that_streams_the_body_cannot_forge_either(served: Documents) -> None:
    answer = served.get("/forge-streaming", method="POST", body=b"x" * 100_000)
    assert answer.status == 200
    assert answer.echoed("x-tenant-id") == []
    assert answer.echoed("x-workspace-id") == []


def test_a_script_that_forges_and_fails_reaches_no_upstream(
    served: Documents, echo: EchoUpstream
) -> None:
    echo.clear()
    assert served.get("/forge-and-fail", [("apikey", key_text("caller"))]).status == 500
    assert echo.requests == []


def test_a_script_runs_only_after_authentication(served: Documents, echo: EchoUpstream) -> None:
    echo.clear()
    assert served.get("/forge").status == 401
    assert echo.requests == []


def test_a_script_reaches_neither_files_nor_processes_nor_other_code(served: Documents) -> None:
    assert served.get("/reach-out").echoed("x-reached") == [""]


def test_the_gateways_own_metadata_cannot_be_written(served: Documents) -> None:
    assert served.get("/metadata").status == 500


def test_a_script_calls_the_backends_of_its_policy(served: Documents, side: EchoUpstream) -> None:
    side.clear()
    assert served.get("/call").echoed("x-called") == ["200"]
    (seen,) = side.requests
    assert (seen.path, seen.body, seen.header("x-tenant-id")) == ("/called", b"hello", None)


def test_a_script_calls_nobody_else(served: Documents) -> None:
    assert served.get("/call-stranger").status == 500


def test_a_changed_path_does_not_lead_to_another_route(served: Documents) -> None:
    assert served.get("/guarded/secret").status == 401
    answer = served.get("/reroute")
    assert (answer.json()["upstream"], answer.json()["path"]) == ("echo", "/guarded/secret")


@pytest.mark.parametrize("name", ["too-large", "binary"])
def test_a_malformed_source_is_named_and_closes_the_route(served: Documents, name: str) -> None:
    condition = served.condition("Route", name)
    assert not condition.status
    assert "config.source" in condition.message
    assert served.get(f"/{name}").status == CLOSED


def test_without_the_operators_word_no_script_runs(echo: EchoUpstream) -> None:
    documents = (gateway(), route("stamp", echo.port, lua(STAMP)))
    with Documents(*documents) as closed:
        condition = closed.condition("Route", "stamp", "ResolvedRefs")
        assert condition.reason is Reason.REF_NOT_PERMITTED
        assert "spec.extensions.allow" in condition.message
        assert closed.get("/stamp").status == CLOSED


def test_tenants_need_a_word_of_their_own_but_may_use_the_operators_plugins(
    echo: EchoUpstream,
) -> None:
    mine = {"type": "lua", "config": {"source": STAMP}}
    documents = (
        gateway(extensions={"allow": ["lua"]}),
        obj("Tenant", "acme", {}),
        obj("Plugin", "operators", mine),
        obj("Plugin", "tenants", {**mine, "tenant": "acme"}),
        route("inline", echo.port, lua(STAMP), tenant="acme"),
        route("named", echo.port, tenant="acme", plugins=[{"name": "operators"}]),
        route("own", echo.port, tenant="acme", plugins=[{"name": "tenants"}]),
    )
    with Documents(*documents) as running:
        assert running.get("/named").header("x-response-stamp") == "seen"
        for name in ("inline", "own"):
            condition = running.condition("Route", name, "ResolvedRefs")
            assert "spec.extensions.allowTenants" in condition.message
            assert running.get(f"/{name}").status == CLOSED


def test_tenants_run_scripts_where_the_gateway_admits_it(echo: EchoUpstream) -> None:
    documents = (
        gateway(extensions={"allow": ["lua"], "allowTenants": ["lua"]}),
        obj("Tenant", "acme", {}),
        route("inline", echo.port, lua(STAMP), tenant="acme"),
    )
    with Documents(*documents) as running:
        assert running.get("/inline").header("x-response-stamp") == "seen"
