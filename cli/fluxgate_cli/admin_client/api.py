"""What commands ask of the admin API: one answer, or every page of a list."""

from __future__ import annotations

import contextlib
import json
import re
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import httpx

from fluxgate_cli.admin_client.choosing import chosen_context
from fluxgate_cli.admin_client.contexts import Context
from fluxgate_cli.admin_client.errors import body_of, error_of
from fluxgate_cli.admin_client.transport import SAFE, Call, Transport
from fluxgate_cli.output import say

NAMESPACE_HEADER = "x-fluxgate-namespace"
EVERYWHERE = "*"
_NAMESPACE = re.compile(r"\*|[-a-z0-9]{1,63}")
PAGE = 500
"""Objects of one page: the most the API gives."""

Query = Mapping[str, str | int | float | bool | None]


class AdminApi:
    """The admin API of one context.

    ``namespace`` is where a command acts, empty when it does not say. A token of a Kubernetes ServiceAccount
    is good for one namespace at a time, its own unless the request names another one.
    """

    def __init__(
        self, transport: Transport, context: Context, namespace: str | None = None
    ) -> None:
        self.transport = transport
        self.context = context
        self._namespace = str(namespace or context.namespace or "")

    def act_in(self, namespaces: Collection[str]) -> None:
        """Act in these from now on: in one, or in all when they are several."""
        if namespaces:
            self._namespace = next(iter(namespaces)) if len(set(namespaces)) == 1 else EVERYWHERE

    def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """The JSON object at a path."""
        return dict(body_of(self.ask("GET", path, query)))

    def pages(
        self, path: str, query: Query | None = None, limit: int | None = None
    ) -> Iterator[Any]:
        """Every item of a list, page by page; at most ``limit``."""
        left, after = limit, None
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, {**(query or {}), "limit": size, "after": after})
            yield from page["data"]
            after = page.get("after")
            if not after:
                return
            left = None if left is None else left - len(page["data"])

    def ask(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        *,
        seconds: float = 0.0,
    ) -> httpx.Response:
        """The answer, which may take ``seconds`` more than others. Raises the :class:`CliError` of a refusal.

        Writes carry an Idempotency-Key, so that repeating one after a broken connection makes it once.
        """
        given = {**self._place(), **(headers or {})}
        if method not in SAFE:
            given.setdefault("idempotency-key", str(uuid.uuid4()))
        content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        seconds = max(seconds, float((query or {}).get("timeout") or 0.0))
        call = Call(method, path + query_text(query), content, given, seconds)
        response = self.transport.send(call)
        if response.status_code >= 400:
            raise error_of(response, self.transport.skew)
        return response

    def _place(self) -> dict[str, str]:
        """A key says by itself where it may act."""
        if self.context.key is not None or not _NAMESPACE.fullmatch(self._namespace):
            return {}
        return {NAMESPACE_HEADER: self._namespace}


@contextlib.contextmanager
def connected(name: str | None, namespace: str | None = None) -> Iterator[AdminApi]:
    """The admin API of the chosen context, to act in a namespace; says on standard error why it waits."""
    context = chosen_context(name)
    with Transport(context, tell=say) as transport:
        yield AdminApi(transport, context, namespace)


def query_text(query: Query | None) -> str:
    """``?a=b`` without what is None; empty for nothing."""
    pairs = [(key, _text(value)) for key, value in (query or {}).items() if value not in (None, "")]
    return f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""


def segment(text: str) -> str:
    """``text`` as one segment of a path."""
    return quote(text, safe="")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
