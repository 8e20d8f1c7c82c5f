"""How an Envoy is asked about its endpoints: at the listener its bootstrap has for that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fluxgate.ports import NodeState
from fluxgate.xds.health_listener import TOKEN_HEADER
from fluxgate_operator.envoy.admin import EnvoyAdmin
from fluxgate_operator.envoy.bootstrap import HEALTH_METADATA, HEALTH_TOKEN_METADATA
from fluxgate_operator.errors import EnvoyAdminError

Ask = Callable[[str], Awaitable[str]]
"""The body of the answer to a GET; raises ``EnvoyAdminError``."""

Source = Callable[[NodeState], AbstractAsyncContextManager[Ask] | None]
"""How one node is asked while the context is open; None when it cannot be."""


def by_listener(node: NodeState) -> AbstractAsyncContextManager[Ask] | None:
    """At the address, and with the token, that the node's metadata say."""
    place, token = node.metadata.get(HEALTH_METADATA), node.metadata.get(HEALTH_TOKEN_METADATA)
    if not isinstance(place, str) or not isinstance(token, str) or not token:
        return None
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        return None
    return _listener((host.strip("[]"), int(port)), token)


def by_admin(admin: Callable[[], Awaitable[EnvoyAdmin]]) -> Source:
    """At the admin interface of the one Envoy there is; ``admin`` waits for it to be there."""

    @asynccontextmanager
    async def source() -> AsyncIterator[Ask]:
        async def ask(path: str) -> str:
            try:
                return await (await admin()).read(path)
            except RuntimeError as error:  # closed meanwhile, because its Envoy has ended
                raise EnvoyAdminError(f"the admin interface is gone: {error}") from error

        yield ask

    return lambda _: source()


@asynccontextmanager
async def _listener(address: tuple[str, int], token: str) -> AsyncIterator[Ask]:
    async with EnvoyAdmin(address, headers={TOKEN_HEADER: token}) as admin:
        yield admin.read
