"""The webhook configurations, as the chart renders them; tests take another ``clientConfig``."""

from __future__ import annotations

from typing import Any

from fluxgate.api.v1alpha1 import API_VERSION, KINDS
from fluxgate_operator.kube.types import VALIDATING_WEBHOOK
from fluxgate_operator.sidecar.settings import INJECT_LABEL

MUTATE, VALIDATE = "/mutate-pods", "/validate"


def webhook_configurations(
    name: str, client_config: dict[str, Any], *, excluded: tuple[str, ...] = ("kube-system",)
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The mutating and the validating configuration.

    ``client_config`` holds ``service`` (without ``path``) or ``url`` (its beginning). Only pods
    that ask for a sidecar depend on us; without us our kinds are stored unchecked, and
    translation says what is wrong with them.
    """
    common = {"admissionReviewVersions": ["v1"], "sideEffects": "None", "matchPolicy": "Equivalent"}
    namespaces = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": list(excluded),
    }
    mutating = {
        **common,
        "name": "pods.gateway.fluxgate.io",
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "timeoutSeconds": 10,
        "objectSelector": {"matchLabels": {INJECT_LABEL: "true"}},
        "namespaceSelector": {"matchExpressions": [namespaces]},
        "rules": [_rule("", "v1", ["CREATE"], ["pods"])],
        "clientConfig": _client(client_config, MUTATE),
    }
    group, _, version = API_VERSION.partition("/")
    validating = {
        **common,
        "name": VALIDATING_WEBHOOK,
        "failurePolicy": "Ignore",
        "timeoutSeconds": 5,
        "rules": [_rule(group, version, ["CREATE", "UPDATE"], [each.plural for each in KINDS])],
        "clientConfig": _client(client_config, VALIDATE),
    }
    return (
        _document("MutatingWebhookConfiguration", name, mutating),
        _document("ValidatingWebhookConfiguration", name, validating),
    )


def _rule(group: str, version: str, operations: list[str], resources: list[str]) -> dict[str, Any]:
    return {
        "apiGroups": [group],
        "apiVersions": [version],
        "operations": operations,
        "resources": resources,
        "scope": "Namespaced",
    }


def _client(config: dict[str, Any], path: str) -> dict[str, Any]:
    if "url" in config:
        return {**config, "url": config["url"] + path}
    return {**config, "service": {**config["service"], "path": path}}


def _document(kind: str, name: str, webhook: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
