"""API keys as text: how they are made, checked and hashed."""

from __future__ import annotations

from fluxgate.apikeys.format import (
    DEFAULT_PREFIXES,
    KeyFormat,
    ParsedKey,
    digest,
    mint,
    parse,
)

__all__ = ["DEFAULT_PREFIXES", "KeyFormat", "ParsedKey", "digest", "mint", "parse"]
