"""External processing, with its whole configuration on the route.

Protos: envoy.extensions.filters.http.ext_proc.v3.{ExternalProcessor,ProcessingMode},
envoy.config.common.mutation_rules.v3.HeaderMutationRules.
"""

from __future__ import annotations

import re

from envoy.config.core.v3 import grpc_service_pb2 as grpc_service_v3
from envoy.extensions.filters.http.ext_proc.v3 import ext_proc_pb2 as ext_proc_v3
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2 as processing_mode_v3
from envoy.type.v3 import http_status_pb2 as http_status_v3

from fluxgate.ir.policies.ext_proc import ExtProc
from fluxgate.xds import names
from fluxgate.xds.proto import duration

_Mode = processing_mode_v3.ProcessingMode


def build_ext_proc(policy: ExtProc) -> ext_proc_v3.ExternalProcessor:
    """The filter for one service.

    By default Envoy lets a service change neither method, host and scheme nor ``x-envoy-*``.
    """
    message = ext_proc_v3.ExternalProcessor(
        grpc_service=grpc_service_v3.GrpcService(
            envoy_grpc=grpc_service_v3.GrpcService.EnvoyGrpc(cluster_name=policy.cluster)
        ),
        failure_mode_allow=policy.open_on_failure,
        message_timeout=duration(policy.timeout_ms),
        processing_mode=_Mode(
            request_header_mode=_sent(policy.request_headers),
            response_header_mode=_sent(policy.response_headers),
            request_body_mode=_Mode.BodySendMode.Value(policy.request_body),
            response_body_mode=_Mode.BodySendMode.Value(policy.response_body),
            request_trailer_mode=_sent(policy.request_trailers),
            response_trailer_mode=_sent(policy.response_trailers),
        ),
        # after authentication nothing may choose another route
        route_cache_action=ext_proc_v3.ExternalProcessor.RETAIN,
        status_on_error=http_status_v3.HttpStatus(code=http_status_v3.ServiceUnavailable),
    )
    identity = "|".join(re.escape(each) for each in names.IDENTITY_HEADERS)
    message.mutation_rules.disallow_expression.regex = f"(?i)({identity})"
    return message


def _sent(wanted: bool) -> int:
    return int(_Mode.SEND if wanted else _Mode.SKIP)
