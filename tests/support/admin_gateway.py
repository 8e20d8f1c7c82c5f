"""A standalone gateway with the real Envoy and the admin API beside it, as ``fluxgate run`` composes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import structlog

from fluxgate.ports import ClusterIdentities
from fluxgate_admin.access import Access
from fluxgate_admin.auth.records import NewKey
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.settings import AdminSettings, LimitSettings, SignatureSettings
from fluxgate_cli.admin import store
from fluxgate_cli.admin.process import Place, World, serving_admin
from fluxgate_operator.resource_clients.directory import DirectoryResources
from support.admin_auth import MASTER_KEY
from support.standalone import GATEWAY, RunningGateway, running_gateway

MANY = LimitSettings(reads=1_000_000, writes=1_000_000, failures=1_000_000)


class AdminRun:
    """The gateway, and the admin API called by HTTP with the first key."""

    def __init__(
        self, gateway: RunningGateway, access: Access, client: httpx.AsyncClient, key: str
    ) -> None:
        self.gateway = gateway
        self.access = access
        self.client = client
        self.key = key
        self._made = 0

    async def call(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One call, by the first key if no other is given."""
        sent = {"x-fluxgate-key": key or self.key, **(headers or {})}
        if body is None:
            return await self.client.request(method, url, headers=sent)
        return await self.client.request(method, url, json=body, headers=sent)

    async def key_for(
        self, *scopes: str, namespaces: frozenset[str] | None = None, organisation: str = ""
    ) -> str:
        """A key with these scopes, for these namespaces; of an organisation of its own unless it is named."""
        everything = Principal("key_test", PrincipalKind.KEY, "test", "test", frozenset(("*",)))
        self._made += 1
        new = NewKey(
            name="test",
            scopes=frozenset(scopes),
            namespaces=namespaces,
            organisation=organisation or f"organisation-{self._made}",
        )
        issued = await self.access.keys.create(everything, new)
        return issued.text.reveal().decode()


async def first_key_for(folder: Path, **changes: Any) -> tuple[AdminSettings, str]:
    """Settings of an API whose database is in a folder, and its first key."""
    log = structlog.get_logger()
    settings = AdminSettings(
        database=f"sqlite+aiosqlite:///{folder / 'admin.db'}",
        master_keys=(MASTER_KEY,),
        limits=MANY,
        signatures=SignatureSettings(required=False),
        wait=20.0,
    )
    settings = replace(settings, **changes)
    await store.upgrade(settings.database, log)
    issued = await store.first_key(settings, log)
    return settings, issued.text.reveal().decode()


@asynccontextmanager
async def running_admin(
    folder: Path,
    files: Mapping[str, str],
    *,
    xds_port: int = 0,
    identities: ClusterIdentities | None = None,
    **changes: Any,
) -> AsyncIterator[AdminRun]:
    """Serve ``files``, and the admin API that writes them; ``changes`` are of its settings.

    Further Envoys may come to ``xds_port``. ``identities`` know tokens of a cluster's.
    """
    log = structlog.get_logger()
    files = {"gateway.yaml": GATEWAY, **files}
    settings, key = await first_key_for(folder, **changes)
    async with (
        running_gateway(folder, dict(files), xds_port=xds_port) as gateway,
        DirectoryResources(gateway.folder, log) as resources,
        serving_admin(
            Place(port=0),
            lambda url: replace(settings, issuer=url),
            World(gateway.gateway.plane, gateway.gateway.trials, resources, identities),
            log,
        ) as serving,
        httpx.AsyncClient(base_url=serving.url, timeout=60) as client,
    ):
        yield AdminRun(gateway, serving.access, client, key)
