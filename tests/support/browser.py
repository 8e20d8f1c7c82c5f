"""A browser, as far as servers see it: names, TLS, redirects, and a jar of cookies by host."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import httpx


class _Resolving(httpx.HTTPTransport):
    """Knows where hosts are; each has certificates for its own name."""

    def __init__(self, context: ssl.SSLContext, ports: Mapping[str, int]) -> None:
        super().__init__(verify=context)
        self._ports = ports

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        there = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1", port=self._ports[host]),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return super().handle_request(there)


def browser(authority: bytes, ports: Mapping[str, int]) -> httpx.Client:
    """A client that trusts ``authority`` and finds each host on a port of 127.0.0.1."""
    context = ssl.create_default_context(cadata=authority.decode())
    headers = {"accept": "text/html", "sec-fetch-mode": "navigate"}
    return httpx.Client(
        transport=_Resolving(context, ports), headers=headers, follow_redirects=True
    )
