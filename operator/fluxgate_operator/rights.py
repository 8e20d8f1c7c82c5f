"""What a controller has to be allowed to do, asked of the API server before it hurts.

A kind that may not be listed keeps a controller from becoming ready, and one that may be listed
but not watched is followed by lists alone, minutes late. Neither tells what to do about it; this
does. The questions themselves need no rights: ``system:basic-user`` gives them to everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from fluxgate_operator.certificates.secret import NAME as CA_NAME
from fluxgate_operator.kube.client import Document, KubeClient
from fluxgate_operator.kube.errors import KubeApiError, KubeError
from fluxgate_operator.kube.types import LEASES, OUR_TYPES, SECRETS, TOKEN_REVIEWS, KubeType
from fluxgate_operator.settings import ControllerSettings

ACCESS_REVIEWS = KubeType(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    namespaced=False,
)
SUBJECT_REVIEWS = KubeType(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)

_AGAIN_SECONDS = 3.0
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Need:
    """Verbs on one kind, or on a ``subresource`` of it, or on the object called ``name``.

    ``namespace`` None is everywhere.
    """

    verbs: tuple[str, ...]
    type: KubeType
    namespace: str | None
    subresource: str = ""
    name: str = ""

    @property
    def resource(self) -> str:
        """As ``kubectl create role --resource`` takes it: ``routes.gateway.fluxgate.io/status``."""
        group = f".{self.type.group}" if self.type.group else ""
        return self.type.plural + group + (f"/{self.subresource}" if self.subresource else "")

    def told(self, verbs: Sequence[str], user: str) -> str:
        """That ``user`` lacks ``verbs`` of these, and what to do about it, in one line."""
        listed = ",".join(verbs)
        role, where = (
            ("ClusterRole", "in any namespace")
            if self.namespace is None
            else ("Role", f"in namespace {self.namespace}")
        )
        named = f" --resource-name={self.name}" if self.name else ""
        subject = user
        if user.startswith(_ACCOUNT):
            subject = "ServiceAccount " + user.removeprefix(_ACCOUNT).replace(":", "/")
        return (
            f"{self.type.kind}: {subject} may not {listed} {self.resource} {where}; bind it to a "
            f"{role} made by `kubectl create {role.lower()} fluxgate-{self.type.plural} "
            f"--verb={listed} --resource={self.resource}{named}`"
        )


def reading(settings: ControllerSettings, read: Iterable[KubeType]) -> list[Need]:
    """Listing and watching the kinds in ``read``, in the namespaces that the settings name."""
    scopes = settings.cluster.namespaces or (None,)
    return [
        Need(("list", "watch"), each, scope)
        for each in dict.fromkeys(read)
        for scope in (scopes if each.namespaced else (None,))
    ]


def needs(settings: ControllerSettings, read: Iterable[KubeType]) -> list[Need]:
    """What a controller of these settings does, that nobody else would tell it may not.

    ``read`` are the kinds that are listed and watched.
    """
    scopes = settings.cluster.namespaces or (None,)
    found = reading(settings, read)
    found += [Need(("patch",), each, scope, "status") for each in OUR_TYPES for scope in scopes]
    found.append(Need(("get", "list", "create", "patch"), LEASES, settings.namespace))
    if not settings.insecure:
        found.append(Need(("create",), TOKEN_REVIEWS, None))
        if settings.tls_dir is None:
            found.append(Need(("get", "update"), SECRETS, settings.namespace, name=CA_NAME))
    return found


class Rights:
    """Asks at the start, soon again while something is missing, and every ``pause`` seconds."""

    def __init__(
        self,
        client: KubeClient,
        wanted: Sequence[Need],
        log: FilteringBoundLogger,
        pause: float,
    ) -> None:
        self._client = client
        self._needs = wanted
        self._log = log
        self._pause = pause
        self.missing: tuple[str, ...] = ()
        """What is missing and how to give it, a line for every kind."""

    async def run(self) -> None:
        """Ask until cancelled. Without an answer what was known stays so."""
        while True:
            pause = self._pause
            try:
                await self._ask()
            except KubeError as error:
                self._log.debug("rights could not be asked for", error=str(error))
                after = error.retry_after if isinstance(error, KubeApiError) else None
                pause = max(_AGAIN_SECONDS, after or 0.0)
            else:
                pause = _AGAIN_SECONDS if self.missing else self._pause
            await asyncio.sleep(pause)

    async def _ask(self) -> None:
        lacking = [(each, verbs) for each in self._needs if (verbs := await self._lacking(each))]
        user = await self._who() if lacking else ""
        missing = tuple(each.told(verbs, user) for each, verbs in lacking)
        for line in missing:
            if line not in self.missing:
                self._log.error("a right is missing", remedy=line)
        if self.missing and not missing:
            self._log.info("no right is missing any more")
        self.missing = missing

    async def _lacking(self, need: Need) -> list[str]:
        return [verb for verb in need.verbs if not await self._may(need, verb)]

    async def _may(self, need: Need, verb: str) -> bool:
        asked = {
            "verb": verb,
            "group": need.type.group,
            "version": need.type.version,
            "resource": need.type.plural,
            "subresource": need.subresource,
            "namespace": need.namespace or "",
            "name": need.name,
        }
        answer = await self._review(ACCESS_REVIEWS, {"resourceAttributes": asked})
        return bool(answer.get("allowed"))

    async def _who(self) -> str:
        answer = await self._review(SUBJECT_REVIEWS, None)
        return str(answer.get("userInfo", {}).get("username", "the controller"))

    async def _review(self, kind: KubeType, spec: Document | None) -> Document:
        body: Document = {"apiVersion": kind.api_version, "kind": kind.kind}
        if spec is not None:
            body["spec"] = spec
        answer = await self._client.create(kind, None, body)
        status: Document = answer.get("status", {})
        return status
