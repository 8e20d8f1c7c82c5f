"""ApiKey manifests as text: making one, and revoking one with the smallest possible edit.

Pure: text in, text out. A manifest belongs to its user, so revoking keeps every
comment, quote and blank line and only adds or changes the two fields that say so.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import yaml

from fluxgate.api.v1alpha1 import ApiKey

_SPAN = re.compile(r"^(\d{1,6})([smhdw])$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_span(text: str) -> timedelta:
    """The length of time in ``90d``, ``12h``, ``30m``, ``45s`` or ``2w``.

    Raises ``ValueError`` when it is none of them, or zero.
    """
    match = _SPAN.match(text)
    if match is None or int(match[1]) == 0:
        raise ValueError(f"{text!r} is not a length of time; write for example 90d, 12h or 30m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def object_name(text: str) -> str:
    """``text`` as an object name: lower case, everything else than letters and digits a hyphen.

    Raises ``ValueError`` when nothing is left.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:253].rstrip("-")
    if not name:
        raise ValueError(f"{text!r} holds no letter or digit to name the key by")
    return name


def rfc3339(moment: datetime) -> str:
    """``moment`` in UTC with whole seconds, as Kubernetes writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def render(key: ApiKey) -> str:
    """The manifest of ``key`` with the fields that differ from their defaults."""
    document = key.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    if key.spec.expires_at is not None:
        document["spec"]["expiresAt"] = rfc3339(key.spec.expires_at)
    ordered = {"apiVersion": key.api_version, "kind": key.kind, **document}
    body = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True)
    return f"# The key itself is stored nowhere; this is its SHA-256.\n{body}"


def revoke(text: str, namespace: str, name: str, at: datetime) -> str | None:
    """``text`` with the ApiKey marked as revoked, or None when it holds no such key.

    Raises ``yaml.YAMLError`` when the text is not YAML.
    """
    spec = _find_spec(text, namespace, name)
    if spec is None:
        return None
    values = {"revoked": "true", "revokedAt": f'"{rfc3339(at)}"'}
    edits: list[tuple[int, int, str]] = []
    for key_node, value_node in spec.value:
        if key_node.value in values:
            new = values.pop(key_node.value)
            edits.append((value_node.start_mark.index, value_node.end_mark.index, new))
    if values:
        edits.append(_insertion(spec, values))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _insertion(spec: yaml.MappingNode, values: dict[str, str]) -> tuple[int, int, str]:
    """An edit that puts ``values`` before the first field of ``spec``."""
    first = spec.value[0][0].start_mark
    if spec.flow_style:
        added = "".join(f"{name}: {value}, " for name, value in values.items())
    else:
        added = "".join(f"{name}: {value}\n{' ' * first.column}" for name, value in values.items())
    return first.index, first.index, added


def _find_spec(text: str, namespace: str, name: str) -> yaml.MappingNode | None:
    for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
        fields = _fields(document)
        kind = fields.get("kind")
        metadata = _fields(fields.get("metadata"))
        spec = fields.get("spec")
        if (
            kind is not None
            and kind.value == "ApiKey"
            and _scalar(metadata.get("name")) == name
            and (_scalar(metadata.get("namespace")) or "default") == namespace
            and isinstance(spec, yaml.MappingNode)
            and spec.value
        ):
            return spec
    return None


def _fields(node: yaml.Node | None) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: value for key, value in node.value if isinstance(key.value, str)}


def _scalar(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""
