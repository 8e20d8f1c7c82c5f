"""MCP as the official Python SDK speaks it: a server with tools, and an authorization server.

Both are real HTTP servers on free ports of 127.0.0.1, each in a thread with an event loop of its own.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import uvicorn
from mcp.server.auth.provider import (
    AccessToken,
    AuthorizationCode,
    AuthorizationParams,
    RefreshToken,
    construct_redirect_uri,
)
from mcp.server.auth.routes import create_auth_routes
from mcp.server.auth.settings import ClientRegistrationOptions
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from pydantic import AnyHttpUrl
from starlette.applications import Starlette

from support.envoy import eventually
from support.tokens import Issuer


class _Served(ABC):
    """An ASGI application, served while entered."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._socket = socket.create_server((self.host, 0))
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(self.application(), log_level="error", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://{self.host}:{self.port}"

    @abstractmethod
    def application(self) -> Starlette:
        """What is served; the port is known by then."""

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started, what="the server is up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(20)
        self._socket.close()


class ToolServer(_Served):
    """An MCP server at ``/mcp`` with the tools ``add``, ``slow`` and ``erase``.

    ``called`` are the tools that ran, ``callers`` what requests said of who is calling.
    """

    def __init__(self) -> None:
        self.called: list[str] = []
        self.callers: list[str] = []
        super().__init__()

    def application(self) -> Starlette:
        server = MCPServer("tools")

        @server.tool()
        def add(a: int, b: int, context: Context) -> int:
            """Add two numbers."""
            self._note("add", context)
            return a + b

        @server.tool()
        async def slow(steps: int, context: Context) -> str:
            """Say how it is going before it is done."""
            self._note("slow", context)
            for step in range(steps):
                await context.report_progress(step, steps)
            return "done"

        @server.tool()
        def erase(context: Context) -> str:
            """What nobody should be able to call."""
            self._note("erase", context)
            return "erased"

        open_to_all = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        return server.streamable_http_app(transport_security=open_to_all)

    def _note(self, tool: str, context: Context) -> None:
        self.called.append(tool)
        self.callers.append((context.headers or {}).get("x-auth-subject", ""))


class AuthorizationServer(_Served):
    """OAuth 2.1 with dynamic registration, by the SDK; everybody who asks is ``alice``.

    Tokens are signed JWTs whose audience is the resource that the client named (RFC 8707).
    """

    def __init__(self) -> None:
        self.clients: dict[str, OAuthClientInformationFull] = {}
        self.codes: dict[str, AuthorizationCode] = {}
        super().__init__()

    def application(self) -> Starlette:
        self.issuer = Issuer(self.url + "/")
        registration = ClientRegistrationOptions(enabled=True)
        routes = create_auth_routes(
            self, AnyHttpUrl(self.url), client_registration_options=registration
        )
        return Starlette(routes=routes)

    async def get_client(self, client_id: str) -> OAuthClientInformationFull | None:
        return self.clients.get(client_id)

    async def register_client(self, client_info: OAuthClientInformationFull) -> None:
        assert client_info.client_id is not None
        self.clients[client_info.client_id] = client_info

    async def authorize(
        self, client: OAuthClientInformationFull, params: AuthorizationParams
    ) -> str:
        code = secrets.token_urlsafe(32)
        self.codes[code] = AuthorizationCode(
            code=code,
            scopes=params.scopes or [],
            expires_at=time.time() + 60,
            client_id=client.client_id or "",
            code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly,
            resource=params.resource,
        )
        return construct_redirect_uri(str(params.redirect_uri), code=code, state=params.state)

    async def load_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: str
    ) -> AuthorizationCode | None:
        del client
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(
        self, client: OAuthClientInformationFull, authorization_code: AuthorizationCode
    ) -> OAuthToken:
        del client
        code = self.codes.pop(authorization_code.code)
        token = self.issuer.token(aud=code.resource, scope=" ".join(code.scopes))
        return OAuthToken(access_token=token, expires_in=300)

    async def load_refresh_token(self, *_: Any) -> RefreshToken | None:
        return None

    async def exchange_refresh_token(self, *_: Any) -> OAuthToken:
        raise NotImplementedError

    async def load_access_token(self, token: str) -> AccessToken | None:
        del token
        return None

    async def revoke_token(self, token: Any) -> None:
        del token

    async def exchange_identity_assertion(self, *_: Any) -> OAuthToken:
        raise NotImplementedError
