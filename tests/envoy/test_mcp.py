"""``mcp``: the official Python SDK as client and server, the real Envoy between them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp import Client
from mcp.client.auth.oauth2 import OAuthClientProvider
from mcp.client.auth.utils import extract_resource_metadata_from_www_auth
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
    OAuthToken,
    ProtectedResourceMetadata,
)
from pydantic import AnyUrl
from support.client import Response
from support.documents import CLOSED, Document, Documents, gateway, route
from support.mcp_parts import AuthorizationServer, ToolServer
from support.tokens import Issuer

pytestmark = pytest.mark.envoy

SITE = "http://mcp.example.com"
RESOURCE = f"{SITE}/mcp"
METADATA = "/.well-known/oauth-protected-resource/mcp"
ACCEPT = ("accept", "application/json, text/event-stream")
JSON = ("content-type", "application/json")
HOST = ("host", "mcp.example.com")


@pytest.fixture(scope="module")
def tools() -> Iterator[ToolServer]:
    with ToolServer() as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> Iterator[AuthorizationServer]:
    with AuthorizationServer() as running:
        yield running


@pytest.fixture(scope="module")
def served(tools: ToolServer, authority: AuthorizationServer) -> Iterator[Documents]:
    issuer: Issuer = authority.issuer

    def trusting(resource: str, **provider: Any) -> Document:
        return {"jwt-auth": {"providers": [issuer.provider(audiences=[resource], **provider)]}}

    def mcp(resource: str = RESOURCE, **config: Any) -> Document:
        servers = [f"{authority.url}/"]
        return {"mcp": {"resource": resource, "authorizationServers": servers, **config}}

    def at(name: str, *plugins: Document, **spec: Any) -> Document:
        return route(name, tools.port, *plugins, hosts=["mcp.example.com"], **spec)

    rewritten = {"rewrite": {"path": {"type": "ReplaceFull", "value": "/mcp"}}}
    few = f"{SITE}/few"
    documents = (
        gateway(),
        at("mcp", trusting(RESOURCE), mcp(scopes=["tools"], resourceName="Tools")),
        at("few", trusting(few), mcp(few, allowedTools=["add"]), **rewritten),
        at("none", trusting(f"{SITE}/none"), mcp(f"{SITE}/none", allowedTools=[]), **rewritten),
        at(
            "small",
            trusting(f"{SITE}/small"),
            mcp(f"{SITE}/small", allowedTools=["add"], maxMessageBytes=1024),
            **rewritten,
        ),
        at("open", mcp(f"{SITE}/open")),
        at(
            "optional",
            trusting(f"{SITE}/optional"),
            mcp(f"{SITE}/optional"),
            auth={"mode": "Optional"},
        ),
        at("others", trusting("https://api.example.com"), mcp(f"{SITE}/others")),
        at("malformed", trusting(RESOURCE), mcp("mcp.example.com")),
    )
    with Documents(*documents) as running:
        yield running


def through(served: Documents, auth: httpx2.Auth | None = None, token: str = "") -> Any:
    """A client that finds mcp.example.com at the gateway, and everything else where it is."""
    gate = httpx2.AsyncHTTPTransport(proxy=f"http://127.0.0.1:{served.port}")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(mounts={SITE: gate}, headers=headers, auth=auth, timeout=60)


@asynccontextmanager
async def connected(
    served: Documents,
    url: str = RESOURCE,
    *,
    mode: str = "auto",
    auth: httpx2.Auth | None = None,
    token: str = "",
) -> AsyncIterator[Client]:
    async with through(served, auth, token) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


def text_of(result: Any) -> str:
    return str(result.content[0].text)


class _Memory:
    """Where the SDK's client keeps its tokens."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.info: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.info

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.info = client_info


def login(storage: _Memory) -> OAuthClientProvider:
    """The SDK's OAuth client, whose browser follows the redirect at once."""
    answered: list[AuthorizationCodeResult] = []

    async def browse(url: str) -> None:
        async with httpx2.AsyncClient() as browser:
            answer = await browser.get(url)
        query = parse_qs(urlsplit(answer.headers["location"]).query)
        answered.append(AuthorizationCodeResult(code=query["code"][0], state=query["state"][0]))

    async def callback() -> AuthorizationCodeResult:
        return answered.pop()

    metadata = OAuthClientMetadata(
        client_name="test", redirect_uris=[AnyUrl("http://127.0.0.1:1/callback")]
    )
    return OAuthClientProvider(RESOURCE, metadata, storage, browse, callback)


def post(
    served: Documents, path: str, body: bytes | Document, *headers: tuple[str, str]
) -> Response:
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = [HOST, ACCEPT, JSON, *headers]
    return served.get(path, sent, method="POST", body=payload)


def calling(tool: str, **more: Any) -> Document:
    params = {"name": tool, "arguments": {}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params, **more}


async def test_a_client_of_the_sdk_logs_in_by_what_the_gateway_tells_it(
    served: Documents, tools: ToolServer
) -> None:
    tools.callers.clear()
    storage = _Memory()
    async with connected(served, auth=login(storage)) as client:
        assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"
    assert storage.tokens is not None
    assert tools.callers == ["alice"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_sessions_and_stateless_calls_pass(
    served: Documents, authority: AuthorizationServer, mode: str
) -> None:
    token = authority.issuer.token(aud=RESOURCE)
    async with connected(served, mode=mode, token=token) as client:
        listed = await client.list_tools()
        assert {each.name for each in listed.tools} == {"add", "slow", "erase"}
        assert text_of(await client.call_tool("erase")) == "erased"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_progress_arrives_as_a_stream(
    served: Documents, authority: AuthorizationServer, mode: str
) -> None:
    seen: list[float] = []

    async def progress(done: float, total: float | None, message: str | None) -> None:
        del total, message
        seen.append(done)

    token = authority.issuer.token(aud=RESOURCE)
    async with connected(served, mode=mode, token=token) as client:
        result = await client.call_tool("slow", {"steps": 3}, progress_callback=progress)
    assert text_of(result) == "done"
    assert seen == [0, 1, 2]


def test_the_metadata_is_open_and_what_the_sdk_reads(served: Documents) -> None:
    answer = served.get(METADATA, [HOST, ("origin", "https://inspector.example.com")])
    metadata = ProtectedResourceMetadata.model_validate_json(answer.body)
    assert answer.header("content-type") == "application/json"
    assert answer.header("access-control-allow-origin") == "*"
    assert str(metadata.resource) == RESOURCE
    assert metadata.scopes_supported == ["tools"]
    assert metadata.resource_name == "Tools"


def test_a_preflight_for_the_metadata_is_answered(served: Documents) -> None:
    asked = [
        HOST,
        ("origin", "https://inspector.example.com"),
        ("access-control-request-method", "GET"),
        ("access-control-request-headers", "mcp-protocol-version"),
    ]
    answer = served.get(METADATA, asked, method="OPTIONS")
    assert answer.status == 200
    assert answer.header("access-control-allow-headers") == "mcp-protocol-version"


def test_a_request_without_a_token_is_told_where_to_get_one(
    served: Documents, tools: ToolServer
) -> None:
    tools.called.clear()
    answer = post(served, "/mcp", calling("add"))
    assert answer.status == 401
    parsed = httpx2.Response(401, headers=list(answer.headers))
    assert extract_resource_metadata_from_www_auth(parsed) == SITE + METADATA
    assert 'scope="tools"' in str(answer.header("www-authenticate"))
    assert tools.called == []


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "https://api.example.com"}, 403),
        ({"aud": RESOURCE + "/more"}, 403),
        ({"aud": None}, 403),
        ({"aud": RESOURCE, "exp": 1}, 401),
        ({"aud": RESOURCE, "iss": "https://evil.example.com/"}, 401),
    ],
)
def test_a_token_for_somebody_else_is_refused(
    served: Documents,
    tools: ToolServer,
    authority: AuthorizationServer,
    claims: Document,
    status: int,
) -> None:
    tools.called.clear()
    answer = post(served, "/mcp", calling("add"), authority.issuer.bearer(**claims))
    assert answer.status == status
    if status == 401:
        assert "resource_metadata=" in str(answer.header("www-authenticate"))
    assert tools.called == []


async def test_an_allowed_tool_is_called(served: Documents, authority: AuthorizationServer) -> None:
    url = f"{SITE}/few"
    token = authority.issuer.token(aud=url)
    async with connected(served, url, token=token) as client:
        assert text_of(await client.call_tool("add", {"a": 2, "b": 3})) == "5"


async def test_a_tool_that_is_not_allowed_never_runs(
    served: Documents, tools: ToolServer, authority: AuthorizationServer
) -> None:
    tools.called.clear()
    url = f"{SITE}/few"
    token = authority.issuer.token(aud=url)
    async with connected(served, url, token=token) as client:
        with pytest.raises(Exception):  # noqa: B017, PT011 - the SDK's own error for a 403
            await client.call_tool("erase")
    assert tools.called == []


DUPLICATE = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","name":"erase",'
    b'"arguments":{}}}'
)
DUPLICATE_METHOD = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"erase","arguments":{}},'
    b'"method":"tools/list"}'
)
ESCAPED = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools\\u002fcall","params":{"n\\u0061me":"er\\u0061se",'
    b'"arguments":{}}}'
)
LATE = (
    b'{"params":{"arguments":{"x":"' + b"x" * 20_000 + b'"},"name":"erase"},"id":1,'
    b'"jsonrpc":"2.0","method":"tools/call"}'
)


@pytest.mark.parametrize(
    ("message", "status"),
    [
        pytest.param(calling("erase"), 403, id="plain"),
        pytest.param(calling("Add"), 403, id="another case"),
        pytest.param(calling("add "), 403, id="a space"),
        pytest.param({**calling("x"), "params": {}}, 403, id="no name"),
        pytest.param({**calling("x"), "params": {"name": ["add"]}}, 403, id="a list for a name"),
        pytest.param(ESCAPED, 403, id="escaped"),
        pytest.param(LATE, 403, id="the method last"),
        pytest.param(DUPLICATE, 400, id="the name twice"),
        pytest.param(DUPLICATE_METHOD, 400, id="the method twice"),
        pytest.param([calling("erase")], 400, id="a batch"),
        pytest.param([calling("add"), calling("erase")], 400, id="a batch that begins well"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(calling("erase")).encode(), 400, id="a mark"),
        pytest.param(b"erase", 400, id="no JSON"),
        pytest.param({"method": "tools/call", "params": {"name": "erase"}}, 400, id="no JSON-RPC"),
    ],
)
def test_no_spelling_of_a_call_gets_past_the_list(
    served: Documents,
    tools: ToolServer,
    authority: AuthorizationServer,
    message: Any,
    status: int,
) -> None:
    tools.called.clear()
    bearer = authority.issuer.bearer(aud=f"{SITE}/few")
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    assert post(served, "/few", payload, bearer).status == status
    assert tools.called == []


@pytest.mark.parametrize("kind", ["text/plain", "application/json-patch+json", ""])
def test_a_call_by_another_content_type_is_refused(
    served: Documents, tools: ToolServer, authority: AuthorizationServer, kind: str
) -> None:
    tools.called.clear()
    bearer = authority.issuer.bearer(aud=f"{SITE}/few")
    headers = [HOST, ACCEPT, bearer, *([("content-type", kind)] if kind else [])]
    body = json.dumps(calling("erase")).encode()
    assert served.get("/few", headers, method="POST", body=body).status == 400
    assert tools.called == []


def test_a_refused_tool_is_told_so(served: Documents, authority: AuthorizationServer) -> None:
    bearer = authority.issuer.bearer(aud=f"{SITE}/few")
    answer = post(served, "/few", calling("erase"), bearer)
    assert answer.json()["message"] == "This tool may not be called here."


def test_an_empty_list_admits_no_tool(served: Documents, authority: AuthorizationServer) -> None:
    bearer = authority.issuer.bearer(aud=f"{SITE}/none")
    assert post(served, "/none", calling("add"), bearer).status == 403
    listing = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    # the server itself answers that there is no session
    assert b"Missing session ID" in post(served, "/none", listing, bearer).body


def test_a_message_that_is_too_large_to_be_read_is_refused(
    served: Documents, tools: ToolServer, authority: AuthorizationServer
) -> None:
    tools.called.clear()
    bearer = authority.issuer.bearer(aud=f"{SITE}/small")
    message = calling("add", padding="x" * 2000)
    assert post(served, "/small", message, bearer).status in (400, 413)
    assert tools.called == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("open", "the route has to require tokens"),
        ("optional", "the route has to require tokens"),
        ("others", "takes tokens for https://api.example.com"),
        ("malformed", "config.resource"),
    ],
)
def test_a_server_that_would_be_open_to_others_is_closed(
    served: Documents, authority: AuthorizationServer, name: str, words: str
) -> None:
    condition = served.condition("Route", name)
    assert not condition.status
    assert words in condition.message
    bearer = authority.issuer.bearer(aud=f"{SITE}/{name}")
    assert post(served, f"/{name}", calling("add"), bearer).status == CLOSED
