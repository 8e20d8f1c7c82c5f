"""The Lua sources of the filters, read once from the package when it is imported."""

from __future__ import annotations

from importlib.resources import files


def _source(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


BODY_LIMIT = _source("body_limit.lua")
"""Defines ``envoy_on_request`` and needs nothing else."""


def _compact(source: str) -> str:
    """``source`` without comments and indentation: it stands in every route that runs it."""
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--")) + "\n"


SHA256 = _source("sha256.lua")
"""Defines ``sha256(message)``, and the names of the bit library that ``ADDRESS`` uses too."""

ADDRESS = _source("address.lua")
"""Defines ``address_words``, ``parse_block`` and ``in_block``; comes after ``SHA256``."""

IDENTITY = _source("identity.lua")
"""Defines what both scripts below share; comes after ``AUTH_METADATA`` and ``LOGGED``."""

API_KEY_AUTH = _source("api_key_auth.lua")
"""Defines ``envoy_on_request``; comes last, after the key table and ``IDENTITY``."""

PEERS = _source("peers.lua")
"""Defines how names of certificates and users are read; comes after ``BASIC_AUTH_FILTER``."""

TOKENS = _source("tokens.lua")
"""Defines what a caller is and how a token becomes one; comes after the providers and ``IDENTITY``."""

ACCESS = _source("access.lua")
"""Defines ``envoy_on_request``; comes last, after ``PEERS`` and ``TOKENS``."""

EXTENSION = _compact(_source("extension.lua"))
"""Runs a Plugin's script apart from the rest; comes after ``SOURCE`` and its limits."""

JSON_VALUES = _source("json_values.lua")
"""Defines ``json_decode``."""

OIDC_SESSION = _source("oidc_session.lua")
"""Defines ``envoy_on_request``; comes last, after ``JSON_VALUES`` and the names of metadata and header."""

TERMINATION = _source("termination.lua")
"""Defines ``envoy_on_request``; comes after ``SHA256`` and ``ADDRESS``."""

TRANSFORM = "\n".join(
    _source(f"{name}.lua") for name in ("json", "json_changes", "response_limit", "transform")
)
"""Defines ``envoy_on_request`` and ``envoy_on_response``; comes after the names it uses."""

MCP = _compact(_source("mcp.lua"))
"""Completes the challenge in refusals; comes after ``CHALLENGE``."""
