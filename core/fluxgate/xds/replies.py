"""What the proxy answers by itself, cause by cause: one table for HTTP and for gRPC.

Messages are those of whoever refused (:data:`GIVEN`) where the refusal has words of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fluxgate.xds import names

GIVEN = "%LOCAL_REPLY_BODY%"
"""The message is the text of whoever refused: a filter, or the route's own answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How local replies of one status read.

    ``flags`` narrows it to these response flags, ``details`` to these response code details.
    """

    status: int
    error: str
    message: str
    flags: tuple[str, ...] = ()
    details: str = ""
    rewritten: int = 0
    condition: str = ""
    """A CEL expression that has to hold, too."""
    headers: tuple[tuple[str, str], ...] = ()
    """Added to the reply; a value may have command operators."""
    early: bool = False
    """Whether it may come before the request has an id, so that it has to make one."""


LIMITED = "The rate limit is used up; retry after the seconds in the retry-after header."

REJECTED_CODES = (400, 402, 403, 404, 409, 420, 430, 500, 502, 503, 509, 529)
"""What a limit may answer instead of 429 (``rejectedCode``); a closed list, for listeners are fixed."""


_RESET = (("retry-after", "%RESP(X-RATELIMIT-RESET)%"),)
LIMITS: tuple[Reply, ...] = (
    Reply(429, "rate_limited", LIMITED, details="local_rate_limited"),
    Reply(429, "rate_limited", LIMITED, details="request_rate_limited", headers=_RESET),
)
"""Refusals of limits: by this Envoy, and by the service.

Not by their flag RL, which the filters set only after they have replied. The service has no
retry-after of its own, so it is the time after which its window ends.
"""


def _with_wanted_status() -> Iterator[Reply]:
    """Refusals of limits with the status that the route wants, which it says in its metadata.

    Those of routes that want none come first, because they are the most.
    """
    own = f'"{names.LIMITS_METADATA}" in xds.route_metadata.filter_metadata'
    wanted = f'xds.route_metadata.filter_metadata["{names.LIMITS_METADATA}"]["rejected_code"]'
    for plain in LIMITS:
        yield replace(plain, condition=f"!({own})")
        for code in REJECTED_CODES:
            yield replace(plain, condition=f'{wanted} == "{code}"', rewritten=code)


WITH_WORDS = (
    'response.code_details in ["direct_response", "lua_response", "fault_filter_abort", '
    '"ext_authz_denied"]'
)
"""Answers of routes, scripts, injected faults and authorizers: they bring their own words."""

_RESPONSE_TOO_LARGE = "The upstream's answer is larger than this route can hold."
_TOLD_TOO_LARGE = (
    f'"{names.TRANSFORM_FILTER}" in metadata.filter_metadata'
    f' && "{names.TOLD_TOO_LARGE}" in metadata.filter_metadata["{names.TRANSFORM_FILTER}"]'
)

CAUSES: tuple[Reply, ...] = (
    Reply(404, "not_found", "No route matches this host, method and path.", flags=("NR",)),
    Reply(
        503,
        "bad_gateway",
        "The upstream refused or broke the connection.",
        # the connection failed, ended early, was reset by either side, or its name is unknown
        flags=("UF", "UC", "UR", "LR", "DF"),
        rewritten=502,
    ),
    Reply(
        503,
        "service_unavailable",
        "The upstream is at the limit of its circuit breaker; try again later.",
        flags=("UO",),
    ),
    Reply(
        503,
        "service_unavailable",
        "No healthy upstream is available; try again later.",
        flags=("UH", "NC"),
    ),
    Reply(502, "bad_gateway", "The upstream's answer is not valid HTTP.", flags=("UPE",)),
    Reply(
        500,
        "bad_gateway",
        _RESPONSE_TOO_LARGE,
        details="response_payload_too_large",
        rewritten=502,
    ),
    # by the length that it tells; see httpfilters/lua/response_limit.lua
    Reply(502, "bad_gateway", _RESPONSE_TOO_LARGE, condition=_TOLD_TOO_LARGE),
    Reply(
        503,
        "service_unavailable",
        "The limits of this route cannot be checked at the moment; try again later.",
        details="rate_limiter_error",
    ),
    *(
        Reply(
            status,
            error,
            "The service that authorizes requests cannot be asked at the moment.",
            details="ext_authz_error",
        )
        for status, error in (
            (403, "forbidden"),
            (500, "internal_error"),
            (503, "service_unavailable"),
        )
    ),
    Reply(
        403,
        "forbidden",
        "The client's address or certificate may not use this route.",
        details="rbac_access_denied_matched_policy[none]",
    ),
    Reply(
        403,
        "internal_error",
        "An extension sent the request to another route.",
        details=f"rbac_access_denied_matched_policy[{names.ANOTHER_ROUTE}]",
        rewritten=500,
    ),
    Reply(
        403,
        "forbidden",
        "This tool may not be called here.",
        details=f"rbac_access_denied_matched_policy[{names.MCP_TOOLS}]",
    ),
)

_BAD_REQUEST = "The request is malformed or its path is not allowed."
BY_STATUS: tuple[Reply, ...] = (
    Reply(400, "bad_request", _BAD_REQUEST, early=True),
    Reply(401, "unauthorized", GIVEN),
    Reply(402, "payment_required", GIVEN),
    Reply(403, "forbidden", GIVEN),
    Reply(404, "not_found", GIVEN),
    Reply(405, "method_not_allowed", GIVEN),
    Reply(408, "request_timeout", "The request did not arrive in time.", early=True),
    Reply(409, "conflict", GIVEN),
    Reply(410, "gone", GIVEN),
    Reply(411, "length_required", GIVEN),
    Reply(413, "payload_too_large", "The request body is larger than allowed."),
    Reply(415, "unsupported_media_type", GIVEN),
    Reply(
        426, "upgrade_required", "HTTP/1.0 is not supported; use HTTP/1.1 or HTTP/2.", early=True
    ),
    Reply(429, "rate_limited", GIVEN),
    Reply(
        431,
        "request_headers_too_large",
        "The request headers are larger than allowed.",
        early=True,
    ),
    Reply(500, "internal_error", GIVEN),
    Reply(501, "not_implemented", GIVEN, early=True),
    Reply(502, "bad_gateway", GIVEN),
    Reply(503, "service_unavailable", GIVEN),
    Reply(504, "gateway_timeout", "The upstream did not answer in time."),
)

WORDED: tuple[Reply, ...] = tuple(
    replace(each, message=GIVEN, condition=WITH_WORDS, early=False)
    for each in BY_STATUS
    if each.message != GIVEN
)
"""Where a status has a message of its own, those that bring their words come first."""

REPLIES: tuple[Reply, ...] = (*CAUSES, *_with_wanted_status(), *WORDED, *BY_STATUS)
"""The first that applies decides; statuses not named here read ``error``."""

GRPC_STATUS = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 12,  # UNIMPLEMENTED: the service or method is not there
    405: 12,
    408: 4,  # DEADLINE_EXCEEDED
    409: 10,  # ABORTED
    413: 8,  # RESOURCE_EXHAUSTED
    415: 3,
    429: 8,
    431: 8,
    500: 13,  # INTERNAL
    501: 12,
    502: 14,  # UNAVAILABLE
    503: 14,
    504: 4,
}
"""The gRPC status for an HTTP status.

Nearer to the causes than what gRPC clients make of HTTP statuses by themselves
(grpc/doc/http-grpc-status-mapping.md), which knows 429 and 504 as UNAVAILABLE only.
"""
