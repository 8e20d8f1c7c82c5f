"""A body for every operation that takes one: what the OpenAPI shows, and what its readers send first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROUTE: Mapping[str, Any] = {
    "name": "payments-service-v2",
    "match": {"path": "/api/v2/payments/*", "methods": ["POST", "GET"]},
    "upstream": "https://payments.example.com:8443",
    "plugins": [{"id": "jwt_auth", "config": {"issuer": "https://auth.example.com"}}],
}
_LIMIT: Mapping[str, Any] = {"requests": 120, "window": "1m"}
_PLUGIN: Mapping[str, Any] = {"name": "partner-limits", "type": "rate-limit", "config": _LIMIT}
_BACKEND: Mapping[str, Any] = {
    "apiVersion": "gateway.fluxgate.io/v1alpha1",
    "kind": "Backend",
    "metadata": {"name": "payments", "namespace": "default"},
    "spec": {"url": "https://payments.example.com:8443"},
}
_ACCOUNT: Mapping[str, Any] = {
    "name": "deployment",
    "scopes": ["routes:write", "plugins:read"],
    "namespaces": ["shop"],
}

REQUEST_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "issue_token": {
        "grant_type": "client_credentials",
        "client_id": "fg_admin_sdk",
        "client_secret": "fcs_…",
        "scope": "routes:read",
    },
    "rotate_credential": {"overlap_seconds": 3600},
    "create_key": {**_ACCOUNT, "allowed_addresses": ["10.1.0.0/16"]},
    "update_key": {"allowed_addresses": ["10.1.0.0/16", "192.0.2.7"]},
    "rotate_key": {"overlap_seconds": 3600},
    "create_client": {"name": "reports", "scopes": ["routes:read"], "client_id": "fg_admin_sdk"},
    "create_service_account": _ACCOUNT,
    "rotate_client": {"revoke_tokens": True},
    "rotate_service_account": {"revoke_tokens": True},
    "rotate_signing_key": {"revoke": False},
    "create_route": _ROUTE,
    "replace_route": _ROUTE,
    "update_route": {
        "timeout": "5s",
        "retries": 2,
        "circuit_breaker": {"max_connections": 100},
        "upstream": [
            {"url": "https://payments.example.com:8443", "weight": 90},
            {"url": "https://canary.example.com:8443", "weight": 10},
        ],
    },
    "create_plugin": _PLUGIN,
    "replace_plugin": _PLUGIN,
    "configure_plugin": _LIMIT,
    "update_global_config": {
        "logging": {"access_log": {"enabled": True}},
        "cors": {"allow_origins": ["https://app.example.com"]},
    },
    "validate_config": {"routes": [_ROUTE]},
    "apply_objects": {"objects": [{"document": _BACKEND}]},
    "put_object": _BACKEND,
    "rollback": {"state": "before"},
    "explain": {"method": "GET", "url": "https://api.example.com/api/v2/payments/7"},
}
"""By operation. Held to the schemas by the tests."""


def exemplify(operation: dict[str, Any]) -> None:
    """Show the example of an operation beside the schema of its body."""
    example = REQUEST_EXAMPLES.get(operation["operationId"])
    if example is not None:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example
