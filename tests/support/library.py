"""A real gRPC service, ``example.v1.Library``, with the annotations that map it to JSON over HTTP.

GetBook    GET  /shelves/{shelf}/books/{name}
AddBook    POST /shelves/{shelf}/books        body: book
ListBooks  GET  /shelves/{shelf}/books        a stream
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import grpc
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

PACKAGE = "example.v1"
SERVICE = f"{PACKAGE}.Library"
_STRING = FieldDescriptorProto.TYPE_STRING
_INT32 = FieldDescriptorProto.TYPE_INT32
_MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "Book": {"name": _STRING, "shelf": _STRING, "page_count": _INT32},
    "GetBookRequest": {"shelf": _STRING, "name": _STRING},
    "AddBookRequest": {"shelf": _STRING, "book": f".{PACKAGE}.Book"},
    "FindBookRequest": {"name": _STRING},
    "ListBooksRequest": {"shelf": _STRING},
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="example/v1/library.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=["google/api/annotations.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = message.field.add(name=field, number=number, label=1)
            if isinstance(kind, str):
                added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, kind
            else:
                added.type = kind
    service = file.service.add(name="Library")
    one = "/shelves/{shelf}/books/{name}"
    several = "/shelves/{shelf}/books"
    _method(service, "GetBook", "Book", http_pb2.HttpRule(get=one))
    _method(service, "AddBook", "Book", http_pb2.HttpRule(post=several, body="book"))
    _method(service, "FindBook", "Book", None)
    _method(service, "ListBooks", "Book", http_pb2.HttpRule(get=several), stream=True)
    return file


def _method(
    service: descriptor_pb2.ServiceDescriptorProto,
    name: str,
    output: str,
    rule: http_pb2.HttpRule | None,
    *,
    stream: bool = False,
) -> None:
    method = service.method.add(
        name=name,
        input_type=f".{PACKAGE}.{name}Request",
        output_type=f".{PACKAGE}.{output}",
        server_streaming=stream,
    )
    if rule is not None:
        method.options.Extensions[annotations_pb2.http].CopyFrom(rule)


def descriptor_set() -> bytes:
    """What ``protoc --include_imports --descriptor_set_out`` would write."""
    pool = descriptor_pool.Default()
    found = FileDescriptorSet()
    imported = (
        "google/protobuf/descriptor.proto",
        "google/api/http.proto",
        "google/api/annotations.proto",
    )
    for name in imported:
        pool.FindFileByName(name).CopyToProto(found.file.add())
    found.file.append(_file())
    return found.SerializeToString()


class _Messages:
    def __init__(self) -> None:
        pool = descriptor_pool.DescriptorPool()
        for file in FileDescriptorSet.FromString(descriptor_set()).file:
            pool.AddSerializedFile(file.SerializeToString())
        for name in _MESSAGES:
            descriptor = pool.FindMessageTypeByName(f"{PACKAGE}.{name}")
            setattr(self, name, message_factory.GetMessageClass(descriptor))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class Library:
    """The service, on a free port of 127.0.0.1 while entered. It knows every book but ``none``."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        self.messages = _Messages()
        self.port = 0
        self._calls = 0
        self._lock = threading.Lock()
        self._server = grpc.server(ThreadPoolExecutor(4))

    @property
    def calls(self) -> int:
        """How many calls arrived."""
        with self._lock:
            return self._calls

    def __enter__(self) -> Self:
        methods = {
            "GetBook": self._handler(grpc.unary_unary_rpc_method_handler, self._get, "GetBook"),
            "AddBook": self._handler(grpc.unary_unary_rpc_method_handler, self._add, "AddBook"),
            "FindBook": self._handler(grpc.unary_unary_rpc_method_handler, self._find, "FindBook"),
            "ListBooks": self._handler(
                grpc.unary_stream_rpc_method_handler, self._list, "ListBooks"
            ),
        }
        generic = grpc.method_handlers_generic_handler(SERVICE, methods)
        self._server.add_generic_rpc_handlers((generic,))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait(10)

    def _handler(self, make: Any, behaviour: Any, name: str) -> Any:
        request = getattr(self.messages, f"{name}Request")
        return make(
            behaviour,
            request_deserializer=request.FromString,
            response_serializer=self.messages.Book.SerializeToString,
        )

    def _count(self) -> None:
        with self._lock:
            self._calls += 1

    def _get(self, request: Any, context: Any) -> Any:
        self._count()
        if request.name == "none":
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such book")
        return self.messages.Book(name=request.name, shelf=request.shelf, page_count=7)

    def _add(self, request: Any, context: Any) -> Any:
        del context
        self._count()
        request.book.shelf = request.shelf
        return request.book

    def _find(self, request: Any, context: Any) -> Any:
        del context
        self._count()
        return self.messages.Book(name=request.name, shelf="found")

    def _list(self, request: Any, context: Any) -> Iterator[Any]:
        del context
        self._count()
        for name in ("first", "second"):
            yield self.messages.Book(name=name, shelf=request.shelf)
