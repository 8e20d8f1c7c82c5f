"""How nodes, replicas and the API server know this replica, and how it knows them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from structlog.typing import FilteringBoundLogger

from fluxgate.api.v1alpha1 import GatewayConfig
from fluxgate.resources import ObjectRef, Resources
from fluxgate_operator.certificates import Certificates
from fluxgate_operator.identity import ApiTokenReviewer, may_be_node
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.replicas import PeerCredentials
from fluxgate_operator.settings import ControllerSettings
from fluxgate_operator.sidecar import SidecarSettings
from fluxgate_operator.webhooks import Webhooks
from fluxgate_xds.server import XdsServerSettings
from fluxgate_xds.tokens import TokenAuthority

World = Callable[[], Resources | None]
"""What was translated last; None before the first turn."""


class Security:
    """Certificates, tokens and webhooks of one replica; not made with ``settings.insecure``.

    Nodes prove themselves by a ServiceAccount's token on the xDS port, or by a client certificate
    on the peer port, where the other replicas come, too.
    """

    def __init__(
        self,
        settings: ControllerSettings,
        client: KubeClient,
        leading: Callable[[], bool],
        world: World,
        turned: Callable[[], Awaitable[None]],
        log: FilteringBoundLogger,
        known: Callable[[], Awaitable[None]],
    ) -> None:
        """``known`` returns when there is a world."""
        self._settings = settings
        self._world = world
        self._known = known
        self._reviewer = ApiTokenReviewer(client)
        self.certificates = Certificates(client, settings, leading, log)
        self.webhooks: Webhooks | None = None
        if settings.webhook_port is not None:
            self.webhooks = Webhooks(settings, self.certificates, world, self._sidecar, log, turned)

    @property
    def peer_credentials(self) -> PeerCredentials:
        """How replicas talk to one another."""
        certificates = self.certificates
        return PeerCredentials(
            certificates.channel_credentials, certificates.server_name, certificates.peer_names
        )

    def xds_settings(self) -> XdsServerSettings:
        """What the xDS server is to ask for; to be called when there are certificates."""
        settings, certificates = self._settings, self.certificates
        return XdsServerSettings(
            settings.xds_address,
            settings.xds_port,
            tls=certificates.server_tls(),
            tokens=TokenAuthority(self._reviewer, may_be_node(self._configs), self._known),
            peer_port=settings.peer_port,
            status_readers=certificates.peer_names,
        )

    def start(self, group: asyncio.TaskGroup) -> None:
        """Keep certificates fresh, and answer the API server once there are some."""
        group.create_task(self.certificates.run(), name="certificates")
        if self.webhooks is not None:
            group.create_task(self.webhooks.run(), name="webhooks")

    def _configs(self) -> Mapping[ObjectRef, GatewayConfig]:
        world = self._world()
        return world.gateway_configs if world is not None else {}

    def _sidecar(self) -> SidecarSettings:
        settings = self._settings
        return SidecarSettings(
            image=settings.sidecar_image,
            xds_host=self.certificates.server_name,
            xds_port=settings.xds_port,
            server_name=self.certificates.server_name,
            ca_pem=self.certificates.ca_pem.decode(),
        )
