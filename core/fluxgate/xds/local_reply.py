"""The one error shape: ``{error, message, request_id}`` for every answer the proxy makes itself.

Envoy's JSON formatter escapes what it inserts, so a message may hold any text.
Answers of upstreams pass untouched, and so do local replies below 400.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from envoy.config.accesslog.v3 import accesslog_pb2 as accesslog_v3
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2 as cel_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.xds import names
from fluxgate.xds.proto import any_of, uint32

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


LIMITED = "The rate limit is used up; retry after the seconds in the retry-after header."

REJECTED_CODES = (400, 402, 403, 404, 409, 420, 430, 500, 502, 503, 509, 529)
"""What a limit may answer instead of 429 (``rejectedCode``); a closed list, for listeners are fixed."""


def _limits() -> Iterator[Reply]:
    """Refusals of limits, in the words of both filters and with the status that the route wants.

    Not by their flag RL, which the filters set only after they have replied. A route that wants another
    status says so in its metadata; those that do not come first, because they are the most. The service has no
    retry-after of its own, so it is the time after which its window ends.
    """
    own = f'"{names.LIMITS_METADATA}" in xds.route_metadata.filter_metadata'
    wanted = f'xds.route_metadata.filter_metadata["{names.LIMITS_METADATA}"]["rejected_code"]'
    reset = (("retry-after", "%RESP(X-RATELIMIT-RESET)%"),)
    for details, headers in (("local_rate_limited", ()), ("request_rate_limited", reset)):
        plain = Reply(429, "rate_limited", LIMITED, details=details, headers=headers)
        yield replace(plain, condition=f"!({own})")
        for code in REJECTED_CODES:
            yield replace(plain, condition=f'{wanted} == "{code}"', rewritten=code)


REPLIES: tuple[Reply, ...] = (
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
    *_limits(),
    Reply(
        503,
        "service_unavailable",
        "The limits of this route cannot be checked at the moment; try again later.",
        details="rate_limiter_error",
    ),
    Reply(
        403,
        "forbidden",
        "The client's address or certificate may not use this route.",
        details="rbac_access_denied_matched_policy[none]",
    ),
    Reply(400, "bad_request", "The request is malformed or its path is not allowed."),
    Reply(401, "unauthorized", GIVEN),
    Reply(403, "forbidden", GIVEN),
    Reply(404, "not_found", GIVEN),
    Reply(405, "method_not_allowed", GIVEN),
    Reply(408, "request_timeout", "The request did not arrive in time."),
    Reply(409, "conflict", GIVEN),
    Reply(410, "gone", GIVEN),
    Reply(411, "length_required", GIVEN),
    Reply(413, "payload_too_large", "The request body is larger than allowed."),
    Reply(426, "upgrade_required", "HTTP/1.0 is not supported; use HTTP/1.1 or HTTP/2."),
    Reply(429, "rate_limited", GIVEN),
    Reply(431, "request_headers_too_large", "The request headers are larger than allowed."),
    Reply(500, "internal_error", GIVEN),
    Reply(502, "bad_gateway", GIVEN),
    Reply(503, "service_unavailable", GIVEN),
    Reply(504, "gateway_timeout", "The upstream did not answer in time."),
)
"""The first that applies decides; statuses not named here read ``error``."""


def build_local_reply() -> hcm_v3.LocalReplyConfig:
    """The ``LocalReplyConfig`` of every connection manager of the gateway."""
    config = hcm_v3.LocalReplyConfig()
    config.mappers.extend((_grpc_bad_gateway(), _grpc()))
    config.mappers.extend(_mapper(reply) for reply in REPLIES)
    config.mappers.append(_anything_else())
    return config


def _mapper(reply: Reply) -> hcm_v3.ResponseMapper:
    mapper = hcm_v3.ResponseMapper()
    conditions = [_status_is(reply.status)]
    if reply.flags:
        conditions.append(_flagged(reply.flags))
    if reply.details:
        conditions.append(_explained(reply.details, reply.condition))
    _all_of(mapper.filter, conditions)
    if reply.rewritten:
        mapper.status_code.CopyFrom(uint32(reply.rewritten))
    for name, value in reply.headers:
        mapper.headers_to_add.add(
            header=core_v3.HeaderValue(key=name, value=value),
            append_action=core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        )
    _shape(mapper, reply.error, reply.message)
    return mapper


def _anything_else() -> hcm_v3.ResponseMapper:
    mapper = hcm_v3.ResponseMapper(filter=_status_at_least(400))
    _shape(mapper, "error", GIVEN)
    return mapper


def _grpc() -> hcm_v3.ResponseMapper:
    """A gRPC client reads status and message from trailers: the plain text, not JSON in it."""
    mapper = hcm_v3.ResponseMapper(filter=_is_grpc())
    mapper.body_format_override.text_format_source.inline_string = GIVEN
    return mapper


def _grpc_bad_gateway() -> hcm_v3.ResponseMapper:
    mapper = hcm_v3.ResponseMapper()
    broken = next(reply for reply in REPLIES if reply.rewritten)
    _all_of(mapper.filter, [_is_grpc(), _status_is(broken.status), _flagged(broken.flags)])
    mapper.body_format_override.text_format_source.inline_string = broken.message
    return mapper


def _shape(mapper: hcm_v3.ResponseMapper, error: str, message: str) -> None:
    mapper.body_format_override.json_format.update(
        {"error": error, "message": message, "request_id": "%REQ(X-REQUEST-ID)%"}
    )
    mapper.body_format_override.content_type = "application/json"


def _all_of(
    target: accesslog_v3.AccessLogFilter, conditions: list[accesslog_v3.AccessLogFilter]
) -> None:
    if len(conditions) == 1:
        target.CopyFrom(conditions[0])
    else:
        target.and_filter.filters.extend(conditions)


def _status_is(status: int) -> accesslog_v3.AccessLogFilter:
    return _status(accesslog_v3.ComparisonFilter.EQ, status)


def _status_at_least(status: int) -> accesslog_v3.AccessLogFilter:
    return _status(accesslog_v3.ComparisonFilter.GE, status)


def _status(op: int, status: int) -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.status_code_filter.comparison.op = op
    condition.status_code_filter.comparison.value.default_value = status
    # the key under which an operator could override the value at run time; required by Envoy
    condition.status_code_filter.comparison.value.runtime_key = f"fluxgate.local_reply.{status}"
    return condition


def _flagged(flags: tuple[str, ...]) -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.response_flag_filter.flags.extend(flags)
    return condition


def _explained(details: str, further: str) -> accesslog_v3.AccessLogFilter:
    """A CEL expression; behind the status in an ``and``, so that it runs on few replies."""
    conditions = [f'response.code_details == "{details}"', *([further] if further else ())]
    expression = cel_v3.ExpressionFilter(expression=" && ".join(conditions))
    condition = accesslog_v3.AccessLogFilter()
    condition.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    condition.extension_filter.typed_config.CopyFrom(any_of(expression))
    return condition


def _is_grpc() -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.header_filter.header.name = "content-type"
    condition.header_filter.header.string_match.prefix = "application/grpc"
    return condition
