"""The types of policy that Plugins may have, one module each, and the one table of them."""

from __future__ import annotations

from fluxgate.translator.plugins import (
    acl,
    bandwidth,
    basic_auth,
    cors,
    csrf,
    envoy_patch,
    ext_proc,
    grpc_json_transcode,
    grpc_web,
    ip_restriction,
    jwt_auth,
    key_auth,
    lua,
    mtls_auth,
    oidc,
    quota,
    rate_limit,
    request_size,
    wasm,
)
from fluxgate.translator.plugins.base import Limit, Policies, PolicyType

POLICY_TYPES: tuple[PolicyType, ...] = (
    cors.POLICY,
    grpc_web.POLICY,
    ip_restriction.POLICY,
    mtls_auth.POLICY,
    csrf.POLICY,
    oidc.POLICY,
    key_auth.POLICY,
    jwt_auth.POLICY,
    basic_auth.POLICY,
    acl.POLICY,
    rate_limit.POLICY,
    quota.POLICY,
    request_size.POLICY,
    bandwidth.POLICY,
    lua.POLICY,
    ext_proc.POLICY,
    wasm.POLICY,
    envoy_patch.POLICY,
    grpc_json_transcode.POLICY,
)
"""In the order in which Envoy runs them."""

__all__ = ["POLICY_TYPES", "Limit", "Policies", "PolicyType"]
