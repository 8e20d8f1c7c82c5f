"""JSON to gRPC, with its whole configuration on the route.

Proto: envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder.
"""

from __future__ import annotations

from envoy.extensions.filters.http.grpc_json_transcoder.v3 import transcoder_pb2 as transcoder_v3

from fluxgate.ir.policies.grpc import GrpcJson
from fluxgate.xds.proto import uint32


def build_transcoder(policy: GrpcJson) -> transcoder_v3.GrpcJsonTranscoder:
    """The filter for some services.

    The request stays on its route although its path becomes that of the method, requests that are
    gRPC already pass, and the service's status becomes the HTTP status with a JSON body.
    """
    message = transcoder_v3.GrpcJsonTranscoder(
        proto_descriptor_bin=policy.descriptors,
        services=policy.services,
        match_incoming_request_route=True,
        auto_mapping=policy.auto_mapping,
        ignore_unknown_query_parameters=policy.ignore_unknown_query,
        convert_grpc_status=True,
    )
    message.print_options.always_print_primitive_fields = policy.always_print_primitive_fields
    message.print_options.always_print_enums_as_ints = policy.enums_as_ints
    message.print_options.preserve_proto_field_names = policy.proto_field_names
    message.request_validation_options.reject_unknown_method = True
    message.request_validation_options.reject_unknown_query_parameters = (
        not policy.ignore_unknown_query
    )
    if policy.max_request_body_bytes:
        message.max_request_body_size.CopyFrom(uint32(policy.max_request_body_bytes))
    return message
