"""A container's environment and arguments, as the kubelet makes them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Lookup(Protocol):
    """ConfigMaps and Secrets of the pod's namespace."""

    async def data(self, kind: str, name: str) -> Mapping[str, bytes] | None:
        """The entries of a ConfigMap or Secret; None when it is not there."""
        ...


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``$(NAME)`` replaced; ``$$`` is a dollar; what is not known stays (core/v1, Container.args)."""

    def value(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        return environment.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)", value, text)


def field_of(pod: Mapping[str, Any], path: str, address: str) -> str:
    """A field of the downward API."""
    if path == "status.podIP":
        return address
    if path == "status.hostIP":
        return "127.0.0.1"
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str(pod["metadata"].get(match[1], {}).get(match[2], ""))
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {})
    return str(value)


async def environment_of(
    container: Mapping[str, Any], pod: Mapping[str, Any], address: str, lookup: Lookup
) -> dict[str, str]:
    """The variables a container declares, in their order, each seeing those before it."""
    result: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                data = await lookup.data(kind, source[key]["name"]) or {}
                result |= {name: value.decode() for name, value in data.items()}
    for entry in container.get("env", ()):
        found = await _value(entry, pod, address, lookup, result)
        if found is not None:
            result[entry["name"]] = found
    return result


async def _value(
    entry: Mapping[str, Any],
    pod: Mapping[str, Any],
    address: str,
    lookup: Lookup,
    before: Mapping[str, str],
) -> str | None:
    source = entry.get("valueFrom")
    if source is None:
        return expand(entry.get("value", ""), before)
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"], address)
    if "resourceFieldRef" in source:
        return "1"
    kind, key = (
        ("Secret", "secretKeyRef") if "secretKeyRef" in source else ("ConfigMap", "configMapKeyRef")
    )
    reference = source[key]
    data = await lookup.data(kind, reference["name"]) or {}
    if reference["key"] not in data:
        if reference.get("optional"):
            return None
        raise LookupError(f"{kind} {reference['name']} has no {reference['key']}")
    return data[reference["key"]].decode()


def arguments_of(
    container: Mapping[str, Any], entrypoint: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """``command`` replaces the image's entry point, ``args`` its arguments."""
    command = container.get("command") or entrypoint
    return [expand(each, environment) for each in (*command, *container.get("args", ()))]


def decoded(document: Mapping[str, Any]) -> dict[str, bytes]:
    """The entries of a ConfigMap or Secret."""
    if document.get("kind") == "Secret":
        return {name: base64.b64decode(text) for name, text in document.get("data", {}).items()}
    binary = document.get("binaryData", {})
    text = {name: value.encode() for name, value in document.get("data", {}).items()}
    return text | {name: base64.b64decode(value) for name, value in binary.items()}
