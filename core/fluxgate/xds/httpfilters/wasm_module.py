"""WebAssembly modules as Envoy's Wasm filter takes them, run by V8.

Proto: envoy.extensions.filters.http.wasm.v3.Wasm, envoy.extensions.wasm.v3.{PluginConfig,
CapabilityRestrictionConfig}.
"""

from __future__ import annotations

from envoy.config.core.v3 import base_pb2 as core_v3
from envoy.extensions.filters.http.wasm.v3 import wasm_pb2 as wasm_filter_v3
from envoy.extensions.wasm.v3 import wasm_pb2 as wasm_v3
from google.protobuf.wrappers_pb2 import StringValue

from fluxgate.ir.policies.wasm import Wasm
from fluxgate.xds.proto import any_of, payload_of
from fluxgate.xds.wire import field_bytes

RUNTIME = "envoy.wasm.runtime.v8"

_CAPABILITY_RESTRICTION_CONFIG = 8
"""Of VmConfig; newer than xds-protos."""

_HOST_FUNCTIONS = (
    "proxy_add_header_map_value",
    "proxy_continue_stream",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_get_header_map_value",
    "proxy_get_log_level",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_log",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_buffer_bytes",
    "proxy_set_effective_context",
    "proxy_set_header_map_pairs",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
)
_MODULE_FUNCTIONS = (
    "malloc",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_log",
    "proxy_on_memory_allocate",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_response_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
)
_SYSTEM_FUNCTIONS = (
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_close",
    "fd_fdstat_get",
    "fd_read",
    "fd_seek",
    "fd_write",
    "path_filestat_get",
    "path_open",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
)
"""Of WASI; Envoy has no files behind them, and standard output is its log."""
_POLICIES = {
    "CLOSED": wasm_v3.FAIL_CLOSED,
    "OPEN": wasm_v3.FAIL_OPEN,
    "RELOAD": wasm_v3.FAIL_RELOAD,
}


def build_wasm(policy: Wasm) -> wasm_filter_v3.Wasm:
    """The filter for one module.

    A module may not call out (``proxy_http_call``, ``proxy_grpc_*``), nor use Envoy's foreign functions,
    one of which would choose another route. A worker has one VM a policy, whatever the number of
    its routes.
    """
    allowed = wasm_v3.CapabilityRestrictionConfig()
    for name in (*_HOST_FUNCTIONS, *_MODULE_FUNCTIONS, *_SYSTEM_FUNCTIONS):
        allowed.allowed_capabilities[name].SetInParent()
    # policies share no VM, so that none sees the state of another with the same code
    machine = wasm_v3.VmConfig(vm_id=policy.name, runtime=RUNTIME, code=_code(policy.code))
    machine.MergeFromString(field_bytes(_CAPABILITY_RESTRICTION_CONFIG, payload_of(allowed)))
    config = wasm_v3.PluginConfig(
        name=policy.name,
        root_id=policy.root_id,
        vm_config=machine,
        failure_policy=_POLICIES[policy.on_failure],
    )
    if policy.configuration:
        config.configuration.CopyFrom(any_of(StringValue(value=policy.configuration)))
    return wasm_filter_v3.Wasm(config=config)


def _code(code: bytes | str) -> core_v3.AsyncDataSource:
    source = core_v3.AsyncDataSource()
    if isinstance(code, bytes):
        source.local.inline_bytes = code
    else:
        source.local.filename = code
    return source
