"""The one error shape: ``{error, message, request_id}`` for every answer the proxy makes itself.

Envoy's JSON formatter escapes what it inserts, so a message may hold any text.
Answers of upstreams pass untouched, and so do local replies below 400. A gRPC client gets a status
and a plain message in trailers. What the proxy answers is in :mod:`fluxgate.xds.replies`.

Protos: envoy.extensions.filters.network.http_connection_manager.v3.{LocalReplyConfig,ResponseMapper}.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.accesslog.v3 import accesslog_pb2 as accesslog_v3
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.extensions.access_loggers.filters.cel.v3 import cel_pb2 as cel_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.xds import names
from fluxgate.xds.proto import any_of, uint32
from fluxgate.xds.replies import (
    BY_STATUS,
    CAUSES,
    GIVEN,
    GRPC_STATUS,
    LIMITS,
    REPLIES,
    WORDED,
    Reply,
)

_REQUEST_ID = "%REQ(X-REQUEST-ID)%"
_MADE_ID = "%RESP(X-REQUEST-ID)%"


def build_local_reply() -> hcm_v3.LocalReplyConfig:
    """The ``LocalReplyConfig`` of every connection manager of the gateway."""
    config = hcm_v3.LocalReplyConfig()
    config.mappers.extend(_grpc())
    config.mappers.append(_verbatim())
    for reply in REPLIES:
        if reply.early:
            config.mappers.append(_early(reply))
        config.mappers.append(_mapper(reply))
    config.mappers.append(_anything_else())
    return config


def _mapper(reply: Reply) -> hcm_v3.ResponseMapper:
    mapper = hcm_v3.ResponseMapper()
    _all_of(mapper.filter, _conditions(reply))
    if reply.rewritten:
        mapper.status_code.CopyFrom(uint32(reply.rewritten))
    _add_headers(mapper, reply.headers)
    _shape(mapper, reply.error, reply.message)
    return mapper


def _conditions(reply: Reply) -> list[accesslog_v3.AccessLogFilter]:
    conditions = [_status_is(reply.status)]
    if reply.flags:
        conditions.append(_flagged(reply.flags))
    if reply.details or reply.condition:
        conditions.append(_explained(reply.details, reply.condition))
    return conditions


def _early(reply: Reply) -> hcm_v3.ResponseMapper:
    """A refusal before the request got its id: it makes one, which the access log shows, too."""
    mapper = hcm_v3.ResponseMapper()
    _all_of(mapper.filter, [*_conditions(reply), _without_id()])
    _add_headers(mapper, (("x-request-id", "%UNIQUE_ID%"),))
    _shape(mapper, reply.error, reply.message, _MADE_ID)
    return mapper


def _verbatim() -> hcm_v3.ResponseMapper:
    """A direct response that is no error of the gateway keeps its body; other replies do not."""
    mapper = hcm_v3.ResponseMapper()
    own = f'"{names.ANSWER_METADATA}" in xds.route_metadata.filter_metadata'
    _all_of(mapper.filter, [_status_at_least(400), _explained("direct_response", own)])
    mapper.body_format_override.text_format_source.inline_string = GIVEN
    return mapper


def _anything_else() -> hcm_v3.ResponseMapper:
    mapper = hcm_v3.ResponseMapper(filter=_status_at_least(400))
    _shape(mapper, "error", GIVEN)
    return mapper


def _grpc() -> Iterator[hcm_v3.ResponseMapper]:
    """A gRPC client reads status and message from trailers: the plain text, not JSON in it.

    A fault says its own gRPC status, and so keeps it; a status without one in the table gets Envoy's.
    """
    yield _grpc_mapper([_explained("fault_filter_abort", "")], GIVEN)
    for reply in (*CAUSES, *LIMITS, *WORDED, *BY_STATUS):
        mapper = _grpc_mapper(_conditions(reply), reply.message)
        status = GRPC_STATUS.get(reply.rewritten or reply.status)
        stated = (("grpc-status", str(status)),) if status else ()
        _add_headers(mapper, (*stated, *reply.headers))
        yield mapper
    yield _grpc_mapper([], GIVEN)


def _grpc_mapper(
    conditions: list[accesslog_v3.AccessLogFilter], message: str
) -> hcm_v3.ResponseMapper:
    mapper = hcm_v3.ResponseMapper()
    _all_of(mapper.filter, [_is_grpc(), *conditions])
    mapper.body_format_override.text_format_source.inline_string = message
    return mapper


def _shape(
    mapper: hcm_v3.ResponseMapper, error: str, message: str, request_id: str = _REQUEST_ID
) -> None:
    mapper.body_format_override.json_format.update(
        {"error": error, "message": message, "request_id": request_id}
    )
    mapper.body_format_override.content_type = "application/json"


def _add_headers(mapper: hcm_v3.ResponseMapper, headers: tuple[tuple[str, str], ...]) -> None:
    for name, value in headers:
        mapper.headers_to_add.add(
            header=core_v3.HeaderValue(key=name, value=value),
            append_action=core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
        )


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
    conditions = [f'response.code_details == "{details}"'] if details else []
    expression = cel_v3.ExpressionFilter(
        expression=" && ".join([*conditions, *([further] if further else ())])
    )
    condition = accesslog_v3.AccessLogFilter()
    condition.extension_filter.name = "envoy.access_loggers.extension_filters.cel"
    condition.extension_filter.typed_config.CopyFrom(any_of(expression))
    return condition


def _is_grpc() -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.header_filter.header.name = "content-type"
    condition.header_filter.header.string_match.prefix = "application/grpc"
    return condition


def _without_id() -> accesslog_v3.AccessLogFilter:
    condition = accesslog_v3.AccessLogFilter()
    condition.header_filter.header.name = "x-request-id"
    condition.header_filter.header.present_match = True
    condition.header_filter.header.invert_match = True
    return condition
