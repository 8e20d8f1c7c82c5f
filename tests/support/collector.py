"""A receiver of OTLP: real gRPC and real HTTP, with the messages of opentelemetry-proto.

It stands in for an OpenTelemetry collector, whose receiver does no more than this: take what is
exported and hand it on. The messages are those that xds-protos brings, whose names are older
than the bytes: ``instrumentation_library_spans`` is today's ``scope_spans``, field 2 of both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_v1
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_v1
from opentelemetry.proto.common.v1 import common_pb2 as common_v1

from support.envoy import eventually

SERVER, CLIENT = 2, 3
"""Kinds of spans: a request that came in, a request that went out."""


@dataclass(frozen=True, slots=True)
class Span:
    """One span with its resource; ids in hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    trace_state: str
    attributes: dict[str, str]
    resource: dict[str, str]


@dataclass(frozen=True, slots=True)
class Record:
    """One log record with its resource; ids in hexadecimal."""

    body: str
    trace_id: str
    span_id: str
    attributes: dict[str, str]
    resource: dict[str, str]


class Collector:
    """Takes spans and log records over gRPC on ``port`` and spans over HTTP on ``http_port``."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._records: list[Record] = []
        self.posts: list[tuple[str, str]] = []
        """(path, content type) of every HTTP request."""

    def __enter__(self) -> Self:
        self._grpc = grpc.server(ThreadPoolExecutor(2))
        self._grpc.add_generic_rpc_handlers(
            (
                _service("trace.v1.TraceService", trace_v1.ExportTraceServiceRequest, self._trace),
                _service("logs.v1.LogsService", logs_v1.ExportLogsServiceRequest, self._logs),
            )
        )
        self.port = self._grpc.add_insecure_port("127.0.0.1:0")
        self._grpc.start()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http_port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._grpc.stop(None).wait()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def spans(self, request_id: str = "") -> list[Span]:
        """The spans so far, or those of one request."""
        with self._lock:
            found = list(self._spans)
        wanted = {
            each.trace_id for each in found if each.attributes.get("request_id") == request_id
        }
        return [each for each in found if not request_id or each.trace_id in wanted]

    def first(self, request_id: str) -> Span:
        """The span of the request itself, once it arrived."""

        def find() -> Span | None:
            found = (each for each in self.spans(request_id) if each.kind == SERVER)
            return next(found, None)

        span = eventually(find, what=f"the span of {request_id}")
        assert span is not None
        return span

    def record(self, request_id: str) -> Record:
        """The log record of a request, once it arrived."""

        def find() -> Record | None:
            with self._lock:
                found = list(self._records)
            mine = (each for each in found if each.attributes.get("request_id") == request_id)
            return next(mine, None)

        record = eventually(find, what=f"the log record of {request_id}")
        assert record is not None
        return record

    def _trace(self, exported: trace_v1.ExportTraceServiceRequest) -> bytes:
        found = [
            Span(
                span.name,
                span.kind,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.trace_state,
                _texts(span.attributes),
                _texts(of_resource.resource.attributes),
            )
            for of_resource in exported.resource_spans
            for scope in of_resource.instrumentation_library_spans
            for span in scope.spans
        ]
        with self._lock:
            self._spans += found
        return trace_v1.ExportTraceServiceResponse().SerializeToString()

    def _logs(self, exported: logs_v1.ExportLogsServiceRequest) -> bytes:
        found = [
            Record(
                record.body.string_value,
                record.trace_id.hex(),
                record.span_id.hex(),
                _texts(record.attributes),
                _texts(of_resource.resource.attributes),
            )
            for of_resource in exported.resource_logs
            for scope in of_resource.instrumentation_library_logs
            for record in scope.logs
        ]
        with self._lock:
            self._records += found
        return logs_v1.ExportLogsServiceResponse().SerializeToString()

    def posted(self, path: str, content_type: str, body: bytes) -> bytes:
        """An HTTP POST of spans."""
        with self._lock:
            self.posts.append((path, content_type))
        return self._trace(trace_v1.ExportTraceServiceRequest.FromString(body))


def _texts(attributes: Iterable[common_v1.KeyValue]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in attributes:
        kind = each.value.WhichOneof("value")
        found[each.key] = str(getattr(each.value, kind)) if kind else ""
    return found


def _service(name: str, request: Any, take: Callable[[Any], bytes]) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(
        lambda message, _context: take(message),
        request_deserializer=request.FromString,
        response_serializer=None,
    )
    return grpc.method_handlers_generic_handler(
        f"opentelemetry.proto.collector.{name}", {"Export": method}
    )


def _body(request: BaseHTTPRequestHandler) -> bytes:
    """The body, of known length or in chunks (RFC 9112 section 7.1)."""
    if request.headers.get("transfer-encoding") != "chunked":
        return request.rfile.read(int(request.headers.get("content-length", 0)))
    body = b""
    while length := int(request.rfile.readline().partition(b";")[0], 16):
        body += request.rfile.read(length)
        request.rfile.readline()
    request.rfile.readline()
    return body


def _handler(collector: Collector) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = _body(self)
            kind = self.headers.get("content-type", "")
            answer = collector.posted(self.path, kind, body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler
