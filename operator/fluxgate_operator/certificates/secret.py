"""The Secret that holds the authority: made by whoever is first, changed by one at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from fluxgate_operator.certificates.rotation import (
    Authorities,
    RotationSettings,
    read_authorities,
    rotate,
)
from fluxgate_operator.errors import OperatorError
from fluxgate_operator.kube.client import KubeClient
from fluxgate_operator.kube.errors import ConflictError, ForbiddenError, NotFoundError
from fluxgate_operator.kube.types import SECRETS

NAME = "fluxgate-ca"
"""Of the Secret, and of the ConfigMap with the part that is public."""

_ATTEMPTS = 10


class AuthoritySecretError(OperatorError):
    """The Secret cannot be used as it is."""


_COMMAND = {"Secret": "secret generic", "ConfigMap": "configmap"}


def missing(kind: str, namespace: str, error: ForbiddenError) -> AuthoritySecretError:
    """The chart makes these objects, so that the controller needs no right to make any."""
    return AuthoritySecretError(
        f"{kind} {namespace}/{NAME} is missing, and this controller has no right to make it: run "
        f"`helm upgrade` with the release's values, which makes it again, or "
        f"`kubectl create {_COMMAND[kind]} {NAME} -n {namespace}` ({error})"
    )


class AuthoritySecret:
    """Reads and rotates the authority. Replicas may do so at the same time."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        settings: RotationSettings,
        clock: Callable[[], dt.datetime],
        *,
        makes: bool = True,
    ) -> None:
        """Without ``makes`` it is only read: somebody else makes and rotates it."""
        self._client = client
        self._namespace = namespace
        self._settings = settings
        self._clock = clock
        self._makes = makes

    async def current(self) -> Authorities:
        """What the Secret holds, after making or rotating it where that is due.

        Raises ``KubeError``, and :class:`AuthoritySecretError` for content that is not ours, and
        for a Secret that is missing and may not be made.
        """
        for _ in range(_ATTEMPTS):
            stored, found = await self._read()
            wanted = rotate(found, self._clock(), self._settings)
            if wanted is found:
                return found
            if not self._makes:
                if found is None:
                    raise AuthoritySecretError(
                        f"Secret {self._namespace}/{NAME} is empty; a controller fills it"
                    )
                return found
            try:
                await self._write(stored, wanted)
            except (ConflictError, NotFoundError):
                continue  # another replica was faster: its authority is everybody's
            return wanted
        raise AuthoritySecretError(f"Secret {self._namespace}/{NAME} changes all the time")

    async def _read(self) -> tuple[dict[str, Any] | None, Authorities | None]:
        try:
            stored = await self._client.get(SECRETS, self._namespace, NAME)
        except NotFoundError:
            return None, None
        try:
            found = read_authorities(stored.get("data") or {})
            if found is not None:
                found.signer.spent(self._clock())
        except ValueError as error:
            raise AuthoritySecretError(
                f"Secret {self._namespace}/{NAME} cannot be read: {error}; delete it, and a new "
                "authority is made"
            ) from error
        return stored, found

    async def _write(self, stored: dict[str, Any] | None, wanted: Authorities) -> None:
        if stored is None:
            body = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "fluxgate"}},
                "type": "Opaque",
                "data": wanted.data(),
            }
            try:
                await self._client.create(SECRETS, self._namespace, body)
            except ForbiddenError as error:
                raise missing("Secret", self._namespace, error) from error
        else:  # the resource version in it is the precondition
            await self._client.replace(SECRETS, self._namespace, {**stored, "data": wanted.data()})
