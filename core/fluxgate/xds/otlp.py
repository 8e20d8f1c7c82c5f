"""How Envoy calls a collector: OTLP over gRPC, or as HTTP POSTs of protobuf.

Protos: envoy.config.core.v3.{GrpcService,HttpService}.
"""

from __future__ import annotations

from envoy.config.core.v3 import grpc_service_pb2 as grpc_service_v3
from envoy.config.core.v3 import http_service_pb2 as http_service_v3

from fluxgate.ir import CollectorIR
from fluxgate.xds.proto import duration

_TIMEOUT_MS = 5_000


def grpc_service(collector: CollectorIR) -> grpc_service_v3.GrpcService:
    """The gRPC service of ``collector``."""
    service = grpc_service_v3.GrpcService(timeout=duration(_TIMEOUT_MS))
    service.envoy_grpc.cluster_name = collector.cluster
    service.envoy_grpc.authority = collector.authority
    return service


def http_service(collector: CollectorIR, path: str) -> http_service_v3.HttpService:
    """POSTs to ``path`` of ``collector``."""
    service = http_service_v3.HttpService()
    service.http_uri.uri = f"{collector.url}{path}"
    service.http_uri.cluster = collector.cluster
    service.http_uri.timeout.CopyFrom(duration(_TIMEOUT_MS))
    return service
