"""Tiny Proxy-Wasm modules, assembled from text while the tests run (ABI 0.2.1)."""

from __future__ import annotations

from wasmtime import wat2wasm

_MODULE = """
(module
  (type $add (func (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_add_header_map_value" (func $add (type $add)))
  (import "env" "proxy_replace_header_map_value" (func $replace (type $add)))
  (import "env" "proxy_get_buffer_bytes"
    (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $http_call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_property" (func $set (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 65536))
  (data (i32.const 0) "x-wasm")
  (data (i32.const 16) "seen")
  (data (i32.const 32) "x-tenant-id")
  (data (i32.const 48) "somebody-else")
  (data (i32.const 64) "x-called")
  (data (i32.const 80) "0123456789abcdef")
  (data (i32.const 96) "side")
  (data (i32.const 112) "x-configured")
  (data (i32.const 128) "fluxgate.identity.x-tenant-id")
  (data (i32.const 160) ":path")
  (data (i32.const 176) "/guarded")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $next))
    (global.set $next (i32.add (global.get $next) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)
    ;; what the configuration is, remembered at 1024 (address) and 1028 (length)
    (drop (call $buffer (i32.const 7) (i32.const 0) (local.get $size) (i32.const 1024) (i32.const 1028)))
    (i32.const {configured}))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_delete") (param i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    {request}
    (i32.const 0))
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (drop (call $add (i32.const 2) (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 4)))
    (i32.const 0))
)
"""
_STAMP = """
    (drop (call $add (i32.const 0) (i32.const 0) (i32.const 6) (i32.const 16) (i32.const 4)))
    (drop (call $add (i32.const 0) (i32.const 112) (i32.const 12)
      (i32.load (i32.const 1024)) (i32.load (i32.const 1028))))
"""
_FORGE = """
    (drop (call $add (i32.const 0) (i32.const 32) (i32.const 11) (i32.const 48) (i32.const 13)))
    (drop (call $set (i32.const 128) (i32.const 29) (i32.const 48) (i32.const 13)))
"""
_REROUTE = """
    (drop (call $replace (i32.const 0) (i32.const 160) (i32.const 5) (i32.const 176) (i32.const 8)))
"""
_CALL = """
    ;; the result, as one hexadecimal digit
    (drop (call $add (i32.const 0) (i32.const 64) (i32.const 8)
      (i32.add (i32.const 80) (i32.and (i32.const 15) (call $http_call
        (i32.const 96) (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
        (i32.const 0) (i32.const 0) (i32.const 1000) (i32.const 1024))))
      (i32.const 1)))
"""


def _module(request: str, *, configured: int = 1) -> bytes:
    text = _MODULE.replace("{request}", request).replace("{configured}", str(configured))
    return bytes(wat2wasm(text))


def stamping() -> bytes:
    """Adds ``x-wasm: seen`` both ways, and its configuration as ``x-configured`` to requests."""
    return _module(_STAMP)


def forging() -> bytes:
    """Says that somebody else is calling, in the header and where the gateway remembers it."""
    return _module(_FORGE)


def rerouting() -> bytes:
    """Changes the path to ``/guarded``."""
    return _module(_REROUTE)


def calling() -> bytes:
    """Calls out, and says how that went in ``x-called``: 0 for done."""
    return _module(_CALL)


def crashing() -> bytes:
    """Traps on every request."""
    return _module("(unreachable)")


def refusing_its_configuration() -> bytes:
    """Answers false to its configuration."""
    return _module("", configured=0)


def without_abi() -> bytes:
    """A module that is no Proxy-Wasm module."""
    return bytes(wat2wasm("(module)"))
