"""The admin API in the process of ``fluxgate run``: it writes the folder that the gateway serves."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from fluxgate_admin.settings import AdminSettings
from fluxgate_cli.admin.environment import ISSUER, settings_from
from fluxgate_cli.admin.options import Given
from fluxgate_cli.admin.process import Place, World, serving_admin
from fluxgate_operator.resource_clients.directory import DirectoryResources
from fluxgate_operator.standalone import StandaloneGateway

DATABASE_FILE = "admin.db"
"""In the state folder, where nothing else is said."""


def default_database(state: Path) -> str:
    """The URL of the SQLite file in a state folder."""
    return f"sqlite+aiosqlite:///{(state / DATABASE_FILE).absolute()}"


@dataclass(frozen=True, slots=True)
class AdminBeside:
    """Implements :class:`fluxgate_cli.serving.AdminWish`.

    ``config`` is the folder of the gateway, ``state`` its state folder, ``environ`` the environment that
    says the rest.
    """

    address: str
    port: int
    given: Given
    config: Path
    state: Path
    environ: Mapping[str, str]

    def settings(self, url: str) -> AdminSettings:
        """The settings of an API at ``url``. Raises ``UsageError``."""
        given = self.given
        if not given.issuer and not self.environ.get(ISSUER):
            given = replace(given, issuer=url)
        return settings_from(self.environ, given, default_database(self.state))

    @contextlib.asynccontextmanager
    async def serving(
        self, gateway: StandaloneGateway, log: FilteringBoundLogger
    ) -> AsyncIterator[str]:
        """Serve it while the context is open; gives its URL."""
        async with DirectoryResources(self.config, log) as resources:
            world = World(gateway.plane, gateway.trials, resources)
            place = Place(self.address, self.port)
            async with serving_admin(place, self.settings, world, log) as serving:
                yield serving.url
