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

GUARDS_SLOT = "fluxgate.guards"
"""Slot of what is asked before any credential of the gateway's own."""

BASIC_AUTH_FILTER = "envoy.filters.http.basic_auth"
"""Filter that checks names and passwords; also the name of its metadata."""

OIDC_FILTER = "fluxgate.oidc"
"""Filter that lets people log in."""

OIDC_SESSION_FILTER = "fluxgate.oidc_session"
"""Filter and ECDS resource that say whose session it is."""

ID_TOKEN_HEADER = "x-fluxgate-id-token"  # noqa: S105 - a header
"""How the one tells the other; removed from every request before anything else."""

EXT_AUTHZ_SLOT = "fluxgate.ext_authz"
"""Slot of the filter that asks a service whether a request may pass."""

CONNECTION_RULES_FILTER = "fluxgate.connection_rules"
"""Filter that admits callers by address and client certificate."""

JWT_FILTER = "fluxgate.jwt"
"""Filter and ECDS resource that verify tokens."""

ACCESS_FILTER = "fluxgate.access"
"""Filter and ECDS resource that decide who is calling, of several verified credentials."""

CREDENTIAL_METADATA = "fluxgate.credential"
"""Dynamic metadata: what each filter verified, an object per class of credentials.

Read by the access filter; see :mod:`fluxgate.xds.httpfilters.access`.
"""

GLOBAL_LIMIT_FILTER = "fluxgate.global_limit"
"""Filter and ECDS resource that ask the rate limit service."""

LIMITS_METADATA = "fluxgate.limits"
"""Metadata of a route: ``rejected_code``, the status of a refusal by a limit, unless it is 429."""

BODY_LIMIT_FILTER = "fluxgate.body_limit"
"""Filter that bounds request bodies."""

EXTENSION_SLOT = "fluxgate.extensions"
"""The slot for what routes bring of their own."""

ANOTHER_ROUTE = "another-route"
"""The policy that refuses requests which an extension sent to another route."""

MCP_TOOLS = "mcp-tools"
"""The policy that refuses tools, as refusals name it."""

AUTH_METADATA = "fluxgate.auth"
"""Dynamic metadata: ``key_id``, ``tenant``, ``plan`` and ``credential`` of the verified caller.

The access log writes all of it, so nothing secret may enter.
"""

PROBE_ROUTE_TABLE = "fluxgate-probe"
"""RouteConfiguration sent last, whose answer carries the snapshot's version."""

PROBE_HEADER = "x-fluxgate-snapshot"

ANSWER_METADATA = "fluxgate.answer"
"""Metadata of a route: ``verbatim``, its direct response keeps the body as it is."""

TERMINATION_FILTER = "fluxgate.termination"
"""Filter that answers for routes in maintenance."""

COMPRESSION_FILTER = "fluxgate.compression"
"""Filter and ECDS resource that compress answers."""

TRANSFORM_FILTER = "fluxgate.transform"
"""Filter and ECDS resource that change queries and bodies, and bound answers; also its metadata."""

TOLD_TOO_LARGE = "told_too_large"
"""In that metadata: the answer told a length that is larger than allowed."""

HEADER_MUTATION_FILTER = "envoy.filters.http.header_mutation"
FAULT_FILTER = "envoy.filters.http.fault"

ANSWERED_HEADER = "x-fluxgate-answered"
"""Between two filters on the way of an answer: how it came about, and the request's
method and id."""
