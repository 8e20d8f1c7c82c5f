"""OpenTelemetry spans, by Envoy's own tracer: one of every request, and one of every attempt.

The tracer speaks W3C trace context (traceparent, tracestate) and nothing else; B3 headers pass to
the upstream as they came. Spans start when a route is looked for: what a listener refuses before
(400 for a path it does not take) is in the access log only.

Everything here stands in the listener, which changes with the GatewayConfig alone.

Protos: HttpConnectionManager.Tracing, envoy.config.trace.v3.OpenTelemetryConfig,
envoy.extensions.tracers.opentelemetry.samplers.v3.*. Names of attributes: Envoy's own, and
``fluxgate.*``.
"""

from __future__ import annotations

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2 as mutation_rules_v3
from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.trace.v3 import opentelemetry_pb2 as opentelemetry_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import (
    header_mutation_pb2 as early_header_mutation_v3,
)
from envoy.extensions.request_id.uuid.v3 import uuid_pb2 as uuid_v3
from envoy.extensions.tracers.opentelemetry.resource_detectors.v3 import (
    static_config_resource_detector_pb2 as static_resource_v3,
)
from envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    parent_based_sampler_pb2 as parent_based_v3,
)
from envoy.extensions.tracers.opentelemetry.samplers.v3 import (
    trace_id_ratio_based_sampler_pb2 as ratio_v3,
)
from google.protobuf.message import Message

from fluxgate.ir import TracingIR
from fluxgate.xds import story
from fluxgate.xds.otlp import grpc_service, http_service
from fluxgate.xds.proto import any_of

ATTRIBUTES: dict[str, str] = {
    # Envoy's own value of it has the query
    "http.url": f"%REQ(:SCHEME)%://%REQ(:AUTHORITY)%{story.PATH}",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "fluxgate.auth.result": story.AUTHENTICATION,
    "fluxgate.auth.key_id": story.caller("key_id"),
    "fluxgate.auth.tenant": story.caller("tenant"),
    "fluxgate.auth.credential": story.caller("credential"),
    "fluxgate.rate_limit.result": story.RATE_LIMIT,
    "fluxgate.rate_limit.plan": story.caller("plan"),
    "fluxgate.route": story.ROUTE,
}
"""What spans say besides what Envoy's do by themselves; an attribute without a value is left out."""

_NAME = "%REQ(:METHOD)% %ROUTE_NAME%"
_UPSTREAM_NAME = "%REQ(:METHOD)% %UPSTREAM_CLUSTER%"

_SAMPLERS = "envoy.tracers.opentelemetry.samplers"
_EARLY_HEADER_MUTATION = "envoy.http.early_header_mutation.header_mutation"
_PARENT = "traceparent"
_CHECKED = "x-fluxgate-traceparent"
_GIVEN = f"request.headers['{_PARENT}']"
_WELL_FORMED = (
    # two expressions, because Envoy takes none of a program larger than 100 instructions: how
    # long the four parts are, and that they are four, of hexadecimal digits
    f"%CEL({_GIVEN}.matches('^[!-~]{{2}}-[!-~]{{32}}-[!-~]{{16}}-[!-~]{{2}}$')"
    f" && {_GIVEN}.matches('^[0-9a-f]+-[0-9a-f]+-[0-9a-f]+-[0-9a-f]+$')"
    f" && !{_GIVEN}.startsWith('ff') && !{_GIVEN}.contains('-{'0' * 32}-')"
    f" && !{_GIVEN}.contains('-{'0' * 16}-')"
    f" ? {_GIVEN} : '')%"
)
"""A traceparent as W3C's Trace Context has it (section 3.2.2), or nothing."""


def trace(manager: hcm_v3.HttpConnectionManager, tracing: TracingIR) -> None:
    """Make ``manager`` record spans."""
    _keep_well_formed(manager)
    message = manager.tracing
    message.spawn_upstream_span.value = True
    message.operation, message.upstream_operation = _NAME, _UPSTREAM_NAME
    for name, value in ATTRIBUTES.items():
        message.custom_tags.add(tag=name, value=value)
    message.provider.name = "envoy.tracers.opentelemetry"
    message.provider.typed_config.CopyFrom(any_of(_tracer(tracing)))
    # ids are ours or the client's to choose, and hold no sampling decision of Envoy's
    ids = uuid_v3.UuidRequestIdConfig()
    ids.pack_trace_reason.value = ids.use_request_id_for_trace_sampling.value = False
    manager.request_id_extension.typed_config.CopyFrom(any_of(ids))


def _tracer(tracing: TracingIR) -> opentelemetry_v3.OpenTelemetryConfig:
    config = opentelemetry_v3.OpenTelemetryConfig(service_name=tracing.service_name)
    if tracing.collector.url:
        config.http_service.CopyFrom(http_service(tracing.collector, "/v1/traces"))
    else:
        config.grpc_service.CopyFrom(grpc_service(tracing.collector))
    config.sampler.CopyFrom(_sampler(tracing))
    if tracing.resource:
        detector = static_resource_v3.StaticConfigResourceDetectorConfig(
            attributes=dict(tracing.resource)
        )
        name = "envoy.tracers.opentelemetry.resource_detectors.static_config"
        config.resource_detectors.append(_extension(name, detector))
    return config


def _sampler(tracing: TracingIR) -> extension_v3.TypedExtensionConfig:
    ratio = ratio_v3.TraceIdRatioBasedSamplerConfig()
    # a percentage to four decimals
    ratio.sampling_percentage.denominator = ratio.sampling_percentage.MILLION
    ratio.sampling_percentage.numerator = round(tracing.sampling_percent * 10_000)
    root = _extension(f"{_SAMPLERS}.trace_id_ratio_based", ratio)
    if not tracing.follow_parent:
        return root
    parent = parent_based_v3.ParentBasedSamplerConfig(wrapped_sampler=root)
    return _extension(f"{_SAMPLERS}.parent_based", parent)


def _extension(name: str, config: Message) -> extension_v3.TypedExtensionConfig:
    return extension_v3.TypedExtensionConfig(name=name, typed_config=any_of(config))


def _keep_well_formed(manager: hcm_v3.HttpConnectionManager) -> None:
    """Drop a traceparent that is none, so that the request begins a trace of its own.

    Envoy would record nothing of such a request and hand the header on: who sends nonsense
    would hide from every trace. A mutation has no condition, but one whose value turns
    out empty adds nothing.
    """
    change = mutation_rules_v3.HeaderMutation
    steps = [
        change(remove=_CHECKED),
        change(append=_header(_CHECKED, _WELL_FORMED)),
        change(remove=_PARENT),
        change(append=_header(_PARENT, f"%REQ({_CHECKED.upper()})%")),
        change(remove=_CHECKED),
    ]
    manager.early_header_mutation_extensions.add(
        name=_EARLY_HEADER_MUTATION,
        typed_config=any_of(early_header_mutation_v3.HeaderMutation(mutations=steps)),
    )


def _header(name: str, value: str) -> core_v3.HeaderValueOption:
    return core_v3.HeaderValueOption(
        header=core_v3.HeaderValue(key=name, value=value),
        append_action=core_v3.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
