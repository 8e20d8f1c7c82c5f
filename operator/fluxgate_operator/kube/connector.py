"""Connections to an API server, as every client of ours pools them."""

from __future__ import annotations

import ssl
import sys

import aiohttp

_CLOSES_BY_ITSELF = (3, 12, 8)
"""From this Python on TLS connections whose peer is silent close by themselves (python/cpython#118960)."""


def api_connector(tls: ssl.SSLContext, limit: int) -> aiohttp.TCPConnector:
    """A pool of ``limit`` connections (0: as many as it takes).

    A request that is given up closes its connection, and TLS says goodbye first. A server that does not
    answer says nothing to that either, so the socket stayed until long after; now for two seconds, and no
    longer than the pool.
    """
    stays = sys.version_info < _CLOSES_BY_ITSELF
    return aiohttp.TCPConnector(ssl=tls, limit=limit, enable_cleanup_closed=stays)
