"""The container, its volumes, and the annotations that become files in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict

from fluxgate.xds.probe import build_probe_listener
from fluxgate.xds.stats import stats_matcher
from fluxgate_operator.envoy.bootstrap import BootstrapOptions, build_bootstrap
from fluxgate_operator.envoy.token_identity import (
    AUTHORITY,
    FOLDER,
    TOKEN,
    TOKEN_AUDIENCE,
    TokenIdentity,
    secret_files,
)
from fluxgate_operator.sidecar.settings import (
    ADMIN_SOCKET,
    CONTAINER,
    CPU,
    CPU_LIMIT,
    HEALTH_PORT,
    IDENTITY_VOLUME,
    IMAGE,
    MEMORY,
    MEMORY_LIMIT,
    METRICS_PORT,
    METRICS_PORT_NAME,
    PREFIX,
    PROBE_PORT,
    RUN_VOLUME,
    SidecarSettings,
)
from fluxgate_operator.sidecar.trust import trust_metadata

_GRACE_SECONDS = 30
"""``terminationGracePeriodSeconds`` of a pod that says nothing (core/v1 PodSpec)."""


def sidecar_annotations(settings: SidecarSettings) -> dict[str, str]:
    """Files that a pod brings along: an application's namespace has no ConfigMap of ours."""
    files = {AUTHORITY: settings.ca_pem, **secret_files()}
    return {_annotation(name): content for name, content in files.items()}


def sidecar_volumes(settings: SidecarSettings) -> list[dict[str, Any]]:
    """The token with the files beside it, and room for the admin interface's socket."""
    token = {
        "audience": TOKEN_AUDIENCE,
        "expirationSeconds": settings.token_seconds,
        "path": TOKEN,
    }
    files = [
        {"path": name, "fieldRef": {"fieldPath": f"metadata.annotations['{_annotation(name)}']"}}
        for name in (AUTHORITY, *secret_files())
    ]
    sources = [{"serviceAccountToken": token}, {"downwardAPI": {"items": files}}]
    return [
        {"name": IDENTITY_VOLUME, "projected": {"sources": sources}},
        {"name": RUN_VOLUME, "emptyDir": {}},
    ]


def sidecar_container(
    pod: Mapping[str, Any], namespace: str, gateway: str, settings: SidecarSettings
) -> dict[str, Any]:
    """A native sidecar (KEP-753): it starts before the application and ends after it."""
    annotations: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    probe = {"httpGet": {"path": "/", "port": PROBE_PORT}, "timeoutSeconds": 2}
    return {
        "name": CONTAINER,
        "image": annotations.get(IMAGE, settings.image),
        "restartPolicy": "Always",
        "command": ["envoy"],
        "args": _arguments(namespace, gateway, settings),
        "ports": [{"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"}],
        "env": [
            _field("POD_NAME", "metadata.name"),
            _field("POD_IP", "status.podIP"),
            _field("POD_UID", "metadata.uid"),
        ],
        "resources": _resources(annotations, settings),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        # ten minutes: without its control plane an Envoy has nothing to serve
        "startupProbe": {**probe, "periodSeconds": 1, "failureThreshold": 600},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": _drain(pod, settings)}}},
        "volumeMounts": [
            {"name": IDENTITY_VOLUME, "mountPath": str(FOLDER), "readOnly": True},
            {"name": RUN_VOLUME, "mountPath": str(Path(ADMIN_SOCKET).parent)},
        ],
    }


def _arguments(namespace: str, gateway: str, settings: SidecarSettings) -> list[str]:
    # the kubelet expands $(NAME) in arguments
    probe = ("$(POD_IP)", PROBE_PORT)
    bootstrap = build_bootstrap(
        BootstrapOptions(
            node_id="$(POD_NAME)",
            gateway=gateway,
            xds_host=settings.xds_host,
            xds_port=settings.xds_port,
            xds_token=TokenIdentity(settings.server_name),
            admin=Path(ADMIN_SOCKET),
            concurrency=settings.concurrency,
            probe=probe,
            probe_listener=MessageToDict(build_probe_listener(*probe)),
            metrics=("$(POD_IP)", METRICS_PORT),
            health=("$(POD_IP)", HEALTH_PORT),
            # random, and known to nobody who may not read the pod
            health_token="$(POD_UID)",  # noqa: S106 - the kubelet puts it in
            stats_matcher=MessageToDict(stats_matcher()),
            metadata=trust_metadata(settings.ca_pem.encode(), namespace),
        )
    )
    options = {
        "--config-yaml": json.dumps(bootstrap, sort_keys=True),
        "--concurrency": str(settings.concurrency),
        "--drain-time-s": str(settings.drain_seconds),
        "--drain-strategy": "immediate",
        "--log-level": "warning",
    }
    pairs = [part for option in options.items() for part in option]
    return [*pairs, "--disable-hot-restart"]


def _drain(pod: Mapping[str, Any], settings: SidecarSettings) -> list[str]:
    grace = pod["spec"].get("terminationGracePeriodSeconds")
    left = max(1, (_GRACE_SECONDS if grace is None else int(grace)) - 5)
    seconds = min(settings.drain_seconds, left)
    return ["fluxgate", "drain", "--admin-socket", ADMIN_SOCKET, "--seconds", str(seconds)]


def _resources(annotations: Mapping[str, str], settings: SidecarSettings) -> dict[str, Any]:
    requests = {
        "cpu": annotations.get(CPU, settings.cpu),
        "memory": annotations.get(MEMORY, settings.memory),
    }
    limits = {
        "cpu": annotations.get(CPU_LIMIT, settings.cpu_limit),
        "memory": annotations.get(MEMORY_LIMIT, settings.memory_limit),
    }
    return {"requests": requests, "limits": {key: each for key, each in limits.items() if each}}


def _field(name: str, path: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def _annotation(file: str) -> str:
    return f"{PREFIX}xds-{file}"
