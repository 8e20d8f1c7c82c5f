"""API keys for tests by short names: the objects, and the headers that present them."""

from __future__ import annotations

from typing import Any

from fluxgate.apikeys import digest
from support.documents import Document, obj


def key_text(name: str) -> str:
    """The whole key of that name."""
    return f"flc_service_{name.replace('-', ''):x<32}"


def api_key(name: str, *, created: str = "", **spec: Any) -> Document:
    """An ApiKey whose text is :func:`key_text` of its name."""
    text = key_text(name)
    base = {"hash": digest(text), "prefix": "flc_service_", "lastFour": text[-4:]}
    document = obj("ApiKey", name, base | spec)
    if created:
        document["metadata"]["creationTimestamp"] = created
    return document


def by_key(name: str) -> list[tuple[str, str]]:
    """The headers of a request with that key."""
    return [("apikey", key_text(name))]


def from_address(address: str) -> list[tuple[str, str]]:
    """The headers of a request that a trusted proxy says comes from ``address``."""
    return [("x-forwarded-for", address)]
