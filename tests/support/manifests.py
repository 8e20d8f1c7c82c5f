"""Kubernetes objects checked without an API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate

from fluxgate.api.crd import build_crds
from fluxgate.api.parse import parse_object
from fluxgate.api.v1alpha1 import API_VERSION
from fluxgate.errors import ResourceError
from support.helm import Manifest

KUBERNETES = "1.37"
OF_OTHERS = frozenset({"cert-manager.io/v1", "monitoring.coreos.com/v1"})
"""API versions whose definitions belong to other projects; no schema of them is here."""


def problems_of(manifest: Manifest) -> list[str]:
    """What is wrong with one object: unknown fields too."""
    where = f"{manifest['kind']} {manifest['metadata']['name']}"
    if manifest["apiVersion"] == API_VERSION:
        return [f"{where}: {each}" for each in _problems_of_ours(manifest)]
    if manifest["apiVersion"] in OF_OTHERS:
        return []
    problem = _built_in(json.dumps(manifest, sort_keys=True))
    return [f"{where}: {problem}"] if problem else []


@cache
def _built_in(text: str) -> str:
    """Cached: the cases of a matrix share most of their objects, and one check takes 20 ms."""
    try:
        kubernetes_validate.validate(json.loads(text), KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{error.path}: {error.message}"
    return ""


def _problems_of_ours(manifest: Manifest) -> Iterator[str]:
    definition = next(
        each for each in build_crds().values() if each["spec"]["names"]["kind"] == manifest["kind"]
    )
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for error in jsonschema.Draft202012Validator(schema).iter_errors(manifest):
        yield error.message
    try:
        parse_object(manifest)
    except ResourceError as error:
        yield str(error)


def pod_templates(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod template: whose it is, and its metadata and spec."""
    for each in manifests:
        template = (each.get("spec") or {}).get("template")
        if isinstance(template, dict) and "spec" in template:
            yield f"{each['kind']} {each['metadata']['name']}", template


def not_restricted(pod: dict[str, Any]) -> list[str]:
    """What the Pod Security Standard ``restricted`` (v1.37), or OpenShift's restricted-v2, forbids.

    Stricter than both in two points of ours: the root is read-only, and no UID is asked for.
    """
    found = [f"{name} is set" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    security = pod.get("securityContext") or {}
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append("seccompProfile is not RuntimeDefault")
    if security.get("runAsNonRoot") is not True:
        found.append("runAsNonRoot is not true")
    kinds = {"configMap", "emptyDir", "projected", "secret", "downwardAPI", "persistentVolumeClaim"}
    found += [
        f"volume {each['name']} is of another kind"
        for each in pod.get("volumes", [])
        if not (each.keys() - {"name"}) <= kinds
    ]
    if any("persistentVolumeClaim" in each for each in pod.get("volumes", [])):
        # who may write a volume that is root's; OpenShift, which chooses a group, is asked for none
        security = {key: value for key, value in security.items() if key != "fsGroup"}
    found += _with_ids("the pod", security)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        found += _not_restricted(container)
    return found


def _not_restricted(container: dict[str, Any]) -> list[str]:
    name, security = container["name"], container.get("securityContext") or {}
    wanted = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    found = [f"{name}: {key}" for key, value in wanted.items() if security.get(key) != value]
    found += [f"{name}: hostPort" for port in container.get("ports", []) if "hostPort" in port]
    if security.get("privileged"):
        found.append(f"{name}: privileged")
    return found + _with_ids(name, security)


def _with_ids(name: str, security: dict[str, Any]) -> list[str]:
    ids = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")
    return [f"{name}: {each} is set" for each in ids if each in security]
