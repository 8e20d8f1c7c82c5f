"""What of a document its user wrote, in one form, so that equal objects have equal digests.

Two ways in (``kubectl apply`` and a file, the admin API and Helm) write the same object with
different bookkeeping; ETags and history must not see a difference there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

OURS = "gateway.fluxgate.io/"
"""Annotations under this prefix are bookkeeping of FluxGate's own."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def canonical(document: Mapping[str, Any]) -> dict[str, Any]:
    """``apiVersion``, ``kind``, name, namespace, labels, annotations and ``spec``; nothing else.

    Empty labels and annotations are left out, like those that are bookkeeping.
    """
    metadata = document.get("metadata") or {}
    kept = {"name": metadata.get("name"), "namespace": metadata.get("namespace") or "default"}
    labels = dict(metadata.get("labels") or {})
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key != _LAST_APPLIED and not key.startswith(OURS)
    }
    kept |= {"labels": labels} if labels else {}
    kept |= {"annotations": annotations} if annotations else {}
    return {
        "apiVersion": document.get("apiVersion"),
        "kind": document.get("kind"),
        "metadata": kept,
        "spec": document.get("spec") or {},
    }


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of the canonical document: an ETag, and what history compares."""
    text = json.dumps(
        canonical(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(text.encode()).hexdigest()
