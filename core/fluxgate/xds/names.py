"""Names that Envoy's configuration, the Lua code and the adapters agree on."""

from __future__ import annotations

IDENTITY_HEADERS = (
    "x-tenant-id",
    "x-workspace-id",
    "x-auth-subject",
    "x-pg-role",
    "x-auth-key-id",
    "x-auth-scopes",
)
"""Headers only the gateway may set; removed from every request before anything else."""

CREDENTIAL_HEADERS = ("apikey", "x-api-key")
"""Headers that hold nothing but an API key. ``authorization`` is the third place."""

CREDENTIAL_QUERY_PARAMETER = "apikey"

API_KEY_FILTER = "fluxgate.api_key_auth"
"""Filter and ECDS resource that verify API keys."""

PLAN_LIMIT_FILTER = "fluxgate.plan_limit"
"""Filter and ECDS resource that hold the plans' token buckets."""

CONNECTION_RULES_FILTER = "fluxgate.connection_rules"
"""Filter that admits callers by address and client certificate."""

AUTH_METADATA = "fluxgate.auth"
"""Dynamic metadata: ``key_id``, ``tenant`` and ``plan`` of the verified caller.

The access log writes all of it, so nothing secret may enter.
"""

PROBE_ROUTE_TABLE = "fluxgate-probe"
"""RouteConfiguration sent last, whose answer carries the snapshot's version."""

PROBE_HEADER = "x-fluxgate-snapshot"
