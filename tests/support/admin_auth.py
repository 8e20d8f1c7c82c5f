"""The part of the admin API that says who may call, with two operations to be called.

A real application over a real database; only where HTTP itself matters a socket is between them
(:func:`served`).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json as jsonlib
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import structlog
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request

from fluxgate.ports import ClusterIdentities
from fluxgate.secret import SecretBytes
from fluxgate_admin.access import Access, build_access
from fluxgate_admin.auth.bootstrap import bootstrap
from fluxgate_admin.auth.records import IssuedKey
from fluxgate_admin.auth.signature import SignedContent, sign
from fluxgate_admin.db.database import Database
from fluxgate_admin.http import error_handlers
from fluxgate_admin.http.authentication import AnswerHeaders, require
from fluxgate_admin.http.entrance import Entrance
from fluxgate_admin.http.json_body import JsonRoute
from fluxgate_admin.http.middleware import RequestMiddleware
from fluxgate_admin.principal import Principal
from fluxgate_admin.settings import AdminSettings
from fluxgate_admin.use_cases.audit import AuditTrail
from fluxgate_admin.use_cases.ports import AuditLog, AuditPage, AuditQuery, AuditRecord
from fluxgate_admin.v2 import audit, auth, oauth

MASTER_KEY = SecretBytes(b"bWFzdGVyLWtleS1vZi0zMi1ieXRlcy1mb3ItdGVzdHM=")
ISSUER = "http://admin.test"
NOBODYS_KEY = "sk_live_000A7dl5PEW67zZCpFU9uKaHnGgOvQKAR1KgfM4"
Json = dict[str, Any]


class Time:
    """The clock of a test, which stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = dt.datetime.now(dt.UTC).replace(microsecond=0)

    def __call__(self) -> dt.datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        """Let it be later."""
        self.now += dt.timedelta(**duration)


@dataclass
class Records:
    """An audit log in memory."""

    records: list[AuditRecord] = field(default_factory=list)

    async def record(self, record: AuditRecord) -> None:
        self.records.append(record)

    async def page(self, query: AuditQuery) -> AuditPage:
        """Everything at once; who may read what is the real one's matter."""
        return AuditPage(tuple(reversed(self.records[-query.limit :])), None)


@dataclass(frozen=True)
class Signing:
    """A key as its owner has it."""

    key: str
    secret: str

    @classmethod
    def of(cls, issued: IssuedKey | Json) -> Signing:
        """From what bootstrap gave, or the answer of the API."""
        if isinstance(issued, IssuedKey):
            return cls(issued.text.reveal().decode(), issued.signing_secret.reveal().decode())
        return cls(issued["key"], issued["signing_secret"])


class Api:
    """Calls the application as a client would."""

    def __init__(self, access: Access, app: FastAPI, client: httpx.AsyncClient, time: Time) -> None:
        self.access = access
        self.app = app
        self.client = client
        self.time = time

    def signed(
        self,
        who: Signing,
        method: str,
        url: str,
        body: bytes = b"",
        *,
        timestamp: int | None = None,
        nonce: str | None = None,
    ) -> dict[str, str]:
        """The headers of a signed request."""
        path, _, query = url.partition("?")
        moment = int(self.time().timestamp()) if timestamp is None else timestamp
        content = SignedContent(method, path, query, body)
        secret = SecretBytes(who.secret.encode())
        signature = sign(secret, content, moment, nonce or secrets.token_urlsafe(16))
        return {"x-fluxgate-key": who.key, **signature.headers()}

    async def call(
        self,
        who: Signing | str | None,
        method: str,
        url: str,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One request: by key (writes signed), or by token."""
        body = b"" if json is None else jsonlib.dumps(json).encode()
        sent = {"content-type": "application/json"} if body else {}
        if isinstance(who, str):
            sent["authorization"] = f"Bearer {who}"
        elif who is not None and method == "GET":
            sent["x-fluxgate-key"] = who.key
        elif who is not None:
            sent |= self.signed(who, method, url, body)
        return await self.client.request(
            method, url, content=body, headers={**sent, **(headers or {})}
        )

    async def new_key(self, who: Signing, **fields: Any) -> tuple[Signing, Json]:
        """Make a key; as its owner has it, and the answer."""
        asked = {"name": "test", "scopes": ["routes:write"], **fields}
        answer = await self.call(who, "POST", "/v2/auth/keys", asked)
        assert answer.status_code == 201, answer.text
        return Signing.of(answer.json()), answer.json()

    async def new_account(self, who: Signing, **fields: Any) -> Json:
        """Make a service account; the answer."""
        asked = {"name": "test", "scopes": ["routes:write"], **fields}
        answer = await self.call(who, "POST", "/v2/auth/service-accounts", asked)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    async def ask_token(self, account: Json, **form: str) -> httpx.Response:
        """Ask for a token with an account's secret."""
        asked = {"grant_type": "client_credentials", "client_id": account["client_id"]}
        asked["client_secret"] = account["client_secret"]
        return await self.client.post("/oauth/token", data=asked | form)

    async def token(self, account: Json, **form: str) -> str:
        """A token."""
        answer = await self.ask_token(account, **form)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    async def first_key(self, **options: Any) -> Signing:
        """The key of a bootstrap: it may everything."""
        return Signing.of(await bootstrap(self.access.keys, **options))


def settings_for(**changes: Any) -> AdminSettings:
    """Settings whose database nobody opens."""
    given: Json = {"database": "sqlite:////nowhere", "master_keys": (MASTER_KEY,), "issuer": ISSUER}
    return AdminSettings(**(given | changes))


def application(access: Access, settings: AdminSettings, records: AuditLog) -> FastAPI:
    """The routers of authentication, and ``/v2/things`` to be read and written."""
    things = APIRouter(route_class=JsonRoute)

    @things.get("/v2/things")
    async def read(caller: Annotated[Principal, Depends(require("routes:read"))]) -> Json:
        return {"caller": caller.id, "namespaces": sorted(caller.namespaces or [])}

    @things.post("/v2/things")
    async def write(
        body: Json, caller: Annotated[Principal, Depends(require("routes:write"))]
    ) -> Json:
        return {"caller": caller.id, "got": body}

    @things.post("/v2/things/plain")
    async def write_plain(
        request: Request, caller: Annotated[Principal, Depends(require("routes:write"))]
    ) -> Json:
        return {"caller": caller.id, "got": (await request.body()).decode()}

    app = FastAPI(redirect_slashes=False)
    deps = SimpleNamespace(
        access=access,
        settings=settings,
        audit=records,
        clock=access.clock,
        log=structlog.get_logger(),
    )
    app.state.deps = deps
    app.state.use_cases = SimpleNamespace(audit=AuditTrail(records))
    for router in (auth.router, oauth.router, audit.router, things):
        app.include_router(router)
    error_handlers.install(app)
    app.add_middleware(AnswerHeaders)
    app.add_middleware(Entrance, failed=access.failed_calls, settings=settings)
    app.add_middleware(RequestMiddleware, deps=deps)  # type: ignore[arg-type]
    return app


@asynccontextmanager
async def auth_api(
    database: Database,
    identities: ClusterIdentities | None = None,
    records: AuditLog | None = None,
    peer: str = "127.0.0.1",
    **settings: Any,
) -> AsyncIterator[Api]:
    """The application, called without a socket; ``peer`` is where the calls seem to come from."""
    time = Time()
    told = settings_for(**settings)
    access = build_access(told, database, time, identities)
    app = application(access, told, records or Records())
    transport = httpx.ASGITransport(app, client=(peer, 40000))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
            yield Api(access, app, client, time)
    finally:
        await access.close()


@asynccontextmanager
async def served(app: FastAPI, **config: Any) -> AsyncIterator[str]:
    """The application on a loopback port of its own; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        # an answer's body would wait for the client's delayed acknowledgement of its head
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port = listening.getsockname()[1]
        given = {"lifespan": "off", "log_config": None, "ws": "none", **config}
        server = uvicorn.Server(uvicorn.Config(app, **given))
        server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await serving
