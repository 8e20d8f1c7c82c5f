"""The official client's asyncio side, on our access to the API server; and its failures in the port's words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, Configuration
from kubernetes.aio.client.configuration import AuthSettings

from fluxgate.errors import (
    FieldProblem,
    ResourceClientError,
    ResourceConflictError,
    ResourceDryRunError,
    ResourceError,
    ResourceExistsError,
    ResourceForbiddenError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.connector import api_connector
from fluxgate_operator.kube.errors import KubeConfigError
from fluxgate_operator.kube.types import VALIDATING_WEBHOOK

T = TypeVar("T")

DRY_RUN = "All"
"""The value of ``dryRun``: every stage but storing (meta/v1 CreateOptions)."""

_REFUSED = frozenset({400, 413, 422})
"""Codes about what was sent: the document will not become valid by waiting."""

_NO_RIGHT = re.compile(r'forbidden: User "[^"]*" cannot \S+ (resource|path) ')
"""How the API server says that who asks lacks a right; admission (a webhook, a quota) says 403 in other words."""

_UNASKED = re.compile(r'admission webhook "[^"]*" does not support dry run')
"""Of a webhook with side effects: the API server does not ask it, and refuses the dry run (KEP-576)."""
_OURS = f'admission webhook "{VALIDATING_WEBHOOK}" denied the request: '


class _Access(Configuration):
    """Asks for the header of every request, because tokens rotate; none beside a client certificate."""

    def __init__(self, access: ClusterAccess, connections: int) -> None:
        super().__init__(host=access.url)
        self._authorize = access.authorize
        self.connector = api_connector(access.tls, connections)
        self.client_session_kwargs = {
            "connector": self.connector,
            "trust_env": False,  # a proxy of the environment is for the world outside
        }

    async def auth_settings(self) -> AuthSettings:
        """See the base class, which knows only tokens that were there at the start."""
        value = await self._authorize()
        if value is None:
            return {}
        return {
            "BearerToken": {
                "type": "api_key",
                "in": "header",
                "key": "authorization",
                "value": value,
            }
        }


@contextlib.asynccontextmanager
async def official_client(
    access: ClusterAccess, user_agent: str, connections: int = 32
) -> AsyncIterator[ApiClient]:
    """A client for ``access``, whose TLS it is given rather than the files."""
    configuration = _Access(access, connections)
    client = ApiClient(configuration)
    client.user_agent = user_agent
    try:
        async with client:
            yield client
    finally:
        await configuration.connector.close()


async def asked(
    subject: str,
    ask: Callable[[], Awaitable[T]],
    *,
    seconds: float,
    patience: float,
    dry_run: bool = False,
) -> T:
    """What ``ask`` gives, within ``seconds`` a try.

    A server that is too busy (429) has done nothing: it is asked again when it says so, as long as that is
    within ``patience`` seconds. Raises the errors of :class:`~fluxgate.ports.ResourceClient`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            async with asyncio.timeout(seconds):
                return await ask()
        except ApiException as error:
            wait = retry_after(error)
            if error.status != 429 or loop.time() + (wait or 1.0) > deadline:
                raise refusal(subject, error, dry_run=dry_run) from error
            await asyncio.sleep(wait or 1.0)
        except (aiohttp.ClientError, OSError, ValueError, KubeConfigError) as error:
            words = str(error) or type(error).__name__
            raise ResourceStoreUnavailableError(
                subject, f"the API server does not answer: {words}"
            ) from error


def _unsaid(message: str) -> str:
    """Why a dry run was refused though the write may be made; empty when the write would be refused, too.

    Our own webhook judges an object beside what is stored, without what a caller writes together with it. All
    of that together is what the admin API tries, by the same translation.
    """
    if _UNASKED.search(message):
        return f"the API server cannot say before it is written: {message}"
    if _OURS in message:
        words = message.partition(_OURS)[2]
        return f"by itself, beside what is stored now, FluxGate's admission webhook refuses it: {words}"
    return ""


def retry_after(error: ApiException) -> float | None:
    """The answer's Retry-After, in seconds."""
    value = (error.headers or {}).get("retry-after", "")
    return float(value) if value.isdigit() else None


def status_of(error: ApiException) -> Mapping[str, Any]:
    """The meta/v1 Status of an answer; empty when it is none."""
    try:
        body = json.loads(error.body or "")
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def refusal(
    subject: str, error: ApiException, *, dry_run: bool = False
) -> ResourceClientError | ResourceError:
    """An answer of 400 or more, in the port's words."""
    status = status_of(error)
    reason, message = status.get("reason", ""), status.get("message") or str(error.reason)
    if dry_run and (why := _unsaid(message)):
        return ResourceDryRunError(subject, why)
    if error.status == 409:
        kind = ResourceExistsError if reason == "AlreadyExists" else ResourceConflictError
        return kind(subject, "is there already" if reason == "AlreadyExists" else message)
    if error.status == 404:
        return _not_found(subject, status, message)
    if error.status == 403 and _NO_RIGHT.search(message):
        words = f"the API server does not let FluxGate's own account do this: {message}"
        return ResourceForbiddenError(subject, words)
    if error.status in _REFUSED or error.status == 403:
        return ResourceError(subject, _problems(status, message))
    return ResourceStoreUnavailableError(
        subject,
        f"the API server answers {error.status}: {message}",
        retry_after(error),
        unwritten=400 <= (error.status or 0) < 500,
    )


def _not_found(
    subject: str, status: Mapping[str, Any], message: str
) -> ResourceClientError | ResourceError:
    details = status.get("details") or {}
    if details.get("kind") == "namespaces":
        problem = FieldProblem("metadata.namespace", "there is no such namespace")
        return ResourceError(subject, (problem,))
    if not details.get("name"):
        return ResourceStoreUnavailableError(
            subject,
            f"the API server knows no such kind ({message}); install the CRDs",
            unwritten=True,
        )
    return ResourceNotFoundError(subject, "is not there")


def _problems(status: Mapping[str, Any], message: str) -> tuple[FieldProblem, ...]:
    causes = (status.get("details") or {}).get("causes") or ()
    found = tuple(
        FieldProblem(each.get("field", ""), each.get("message", ""))
        for each in causes
        # what the API server did not look at for the sake of these is no field
        if each.get("field") not in (None, "", "<nil>")
    )
    return found or (FieldProblem("", message),)
