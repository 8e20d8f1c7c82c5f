"""What proposals refer to and the store does not hold, because nothing referred to it so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from fluxgate.api.secrets import parse_secret
from fluxgate.api.v1alpha1 import GatewayConfig, Resource
from fluxgate.errors import ResourceError
from fluxgate.resources import Object, ObjectRef, Resources
from fluxgate.translator.certificate_files import files_of
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import KubeError
from fluxgate_operator.kube.types import SECRETS
from fluxgate_operator.providers.certificate_files import read_files
from fluxgate_operator.providers.kubernetes.references import referred

_FIELDS = ("apiVersion", "kind", "metadata", "type", "data")


class Supply(Protocol):
    """Brings what a provider would bring once the proposals were stored."""

    async def missing(self, base: Resources, proposed: Iterable[Resource]) -> list[Object]:
        """Objects that ``proposed`` refer to, are there, and are not in ``base``. Never raises."""
        ...


class FolderSupply:
    """A folder is read whole; only certificates by path are read when they are named."""

    async def missing(self, base: Resources, proposed: Iterable[Resource]) -> list[Object]:
        """See :class:`Supply`."""
        return [
            read_files(files)
            for config in proposed
            if isinstance(config, GatewayConfig)
            for files in files_of(config)
            if base.get(files.ref) is None
        ]


class Endpoints(Protocol):
    """The Services of a cluster, referred to or not."""

    def endpoints_of(self, ref: ObjectRef) -> Object | None:
        """The endpoints of one Service; None when there is no such Service."""
        ...


class ClusterSupply:
    """Of a cluster's Secrets and Services only those that something refers to are in the store."""

    def __init__(self, client: KubeClient, services: Endpoints) -> None:
        self._client = client
        self._services = services

    async def missing(self, base: Resources, proposed: Iterable[Resource]) -> list[Object]:
        """See :class:`Supply`."""
        wanted = dict.fromkeys(
            ref for obj in proposed for ref in referred(obj) if base.get(ref) is None
        )
        found: list[Object] = []
        for ref in wanted:
            obj = (
                await self._secret(ref)
                if ref.kind == "Secret"
                else self._services.endpoints_of(ref)
            )
            if obj is not None:
                found.append(obj)
        return found

    async def _secret(self, ref: ObjectRef) -> Object | None:
        """The Secret, as the provider would read it; what cannot be read is missing there, too."""
        try:
            document = await self._client.get(SECRETS, ref.namespace, ref.name)
            kept = {name: document[name] for name in _FIELDS if name in document}
            return parse_secret(kept, str(ref))
        except (KubeError, ResourceError):
            return None
