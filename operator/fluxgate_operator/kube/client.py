"""One asynchronous client of the Kubernetes API, for everything but watching.

Thin on purpose: JSON documents in, JSON documents out, errors by kind. Watching is kopf's part;
what is here runs on the event loop of the caller.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from fluxgate_operator.kube.access import ClusterAccess
from fluxgate_operator.kube.connector import api_connector
from fluxgate_operator.kube.errors import KubeUnreachableError, api_error
from fluxgate_operator.kube.types import KubeType

Document = dict[str, Any]
"""An object as the API server shows it; read only: it may be shared."""

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PAGE = 500

Observe = Callable[[str, int], None]
"""Told of every request: its method, and the code of its answer, 0 without one."""


def _unobserved(_method: str, _code: int) -> None:
    """The request is nobody's business."""


_DRY_RUN = {"dryRun": "All"}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its items, and the resource version of the whole list."""

    items: tuple[Document, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A whole list at one resource version."""

    items: tuple[Document, ...] = field(default=())
    resource_version: str = ""


class KubeClient:
    """Requests to one API server. Use as ``async with``, or call :meth:`close`.

    Every method raises :class:`KubeUnreachableError` without an answer, and a
    ``KubeApiError`` for an answer of 400 or more. Nothing is retried here: who calls
    knows whether it may be. ``timeout`` bounds one request, in seconds.
    """

    def __init__(
        self,
        access: ClusterAccess,
        *,
        user_agent: str = "fluxgate",
        timeout: float = 30.0,
        connections: int = 32,
        observe: Observe = _unobserved,
    ) -> None:
        self._access = access
        self._observe = observe
        self._session = aiohttp.ClientSession(
            connector=api_connector(access.tls, connections),
            timeout=aiohttp.ClientTimeout(total=timeout, connect=10.0),
            headers={"user-agent": user_agent, "accept": "application/json"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def pages(
        self,
        type_: KubeType,
        namespace: str | None = None,
        *,
        limit: int = PAGE,
        label_selector: str = "",
        field_selector: str = "",
    ) -> AsyncIterator[Page]:
        """A list, page by page, all at one resource version (``limit`` and ``continue``).

        Never read from the watch cache of an old moment: without ``resourceVersion`` the list is
        as of now. Raises ``GoneError`` when the list took longer than the server keeps it.
        """
        query = {"limit": str(limit)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        while True:
            body = await self.request("GET", type_.path(namespace), query=query)
            meta = body.get("metadata", {})
            yield Page(tuple(body.get("items") or ()), meta.get("resourceVersion", ""))
            if not meta.get("continue"):
                return
            query["continue"] = meta["continue"]

    async def list(
        self, type_: KubeType, namespace: str | None = None, *, label_selector: str = ""
    ) -> Listing:
        """All pages at once; see :meth:`pages`."""
        items: list[Document] = []
        version = ""
        async for page in self.pages(type_, namespace, label_selector=label_selector):
            items += page.items
            version = page.resource_version
        return Listing(tuple(items), version)

    async def get(self, type_: KubeType, namespace: str | None, name: str) -> Document:
        """One object."""
        return await self.request("GET", type_.path(namespace, name))

    async def create(self, type_: KubeType, namespace: str | None, body: Document) -> Document:
        """A new object (or a review, which is answered at once)."""
        return await self.request("POST", type_.path(namespace), body=body)

    async def replace(self, type_: KubeType, namespace: str | None, body: Document) -> Document:
        """Put an object; its ``metadata.resourceVersion`` is the precondition (409 otherwise)."""
        return await self.request("PUT", type_.path(namespace, body["metadata"]["name"]), body=body)

    async def merge_patch(
        self,
        type_: KubeType,
        namespace: str | None,
        name: str,
        patch: Document,
        *,
        subresource: str = "",
    ) -> Document:
        """RFC 7386; a ``metadata.resourceVersion`` in the patch is a precondition."""
        path = type_.path(namespace, name, subresource)
        return await self.request("PATCH", path, body=patch, content_type=MERGE_PATCH)

    async def apply(
        self,
        type_: KubeType,
        namespace: str | None,
        body: Document,
        *,
        manager: str,
        force: bool,
        dry_run: bool = False,
    ) -> Document:
        """Server-side apply: own exactly the fields that ``body`` names."""
        query = {"fieldManager": manager, "force": "true" if force else "false"}
        query |= _DRY_RUN if dry_run else {}
        path = type_.path(namespace, body["metadata"]["name"])
        return await self.request("PATCH", path, body=body, content_type=APPLY_PATCH, query=query)

    async def delete(
        self,
        type_: KubeType,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Document:
        """Delete; with ``uid`` only that very object (409 otherwise)."""
        # in the body (meta/v1 DeleteOptions): beside a body the server does not look at the query
        body: Document = {"preconditions": {"uid": uid}} if uid is not None else {}
        body |= {"dryRun": ["All"]} if dry_run else {}
        return await self.request("DELETE", type_.path(namespace, name), body=body or None)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Document | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Document:
        """One request and its JSON answer."""
        headers = {}
        if body is not None:
            headers["content-type"] = content_type
        if (authorization := await self._access.authorize()) is not None:
            headers["authorization"] = authorization
        try:
            async with self._session.request(
                method,
                self._access.url + path,
                params=query,
                data=None if body is None else json.dumps(body),
                headers=headers,
            ) as response:
                text = await response.text()
                code, after = response.status, response.headers.get("retry-after", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._observe(method, 0)
            reason = str(error) or type(error).__name__
            raise KubeUnreachableError(f"{method} {path}: {reason}") from error
        self._observe(method, code)
        answer = _json_or_text(text)
        if code >= 400:
            raise api_error(code, answer, float(after) if after.isdigit() else None)
        if not isinstance(answer, dict):
            raise KubeUnreachableError(f"{method} {path}: the answer is not a JSON object")
        return answer


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
