"""The translator: resources in, gateways and statuses out; pure, and incremental with a cache."""

from __future__ import annotations

from fluxgate.translator.result import (
    SetAside,
    TranslateOptions,
    Translation,
    gateway_key,
    spec_digest,
)
from fluxgate.translator.translate import TranslateCache, translate

__all__ = [
    "SetAside",
    "TranslateCache",
    "TranslateOptions",
    "Translation",
    "gateway_key",
    "spec_digest",
    "translate",
]
