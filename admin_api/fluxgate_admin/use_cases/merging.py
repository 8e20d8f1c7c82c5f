"""JSON merge patch (RFC 7396). Pure."""

from __future__ import annotations

from collections.abc import Mapping


def merge(target: object, patch: object) -> object:
    """``target`` with ``patch`` applied: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged: dict[object, object] = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged
