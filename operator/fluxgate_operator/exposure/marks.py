"""How our objects are named and marked, and how we know them again.

An object is ours when it carries our label and is owned by a GatewayConfig of that name. Whatever
else has a name that we want is somebody's, and stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re

from fluxgate.api.v1alpha1 import API_VERSION, GatewayConfig
from fluxgate.resources import ObjectRef
from fluxgate_operator.kube.client import Document

EXPOSURE = "gateway.fluxgate.io/exposure"
"""Label: the GatewayConfig an object was made for (see :func:`label_value`)."""

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "fluxgate"
APPLIED = "gateway.fluxgate.io/applied"
"""Annotation: what we applied last, as a digest. It shows what has to be taken away again."""

SELECTOR = f"{MANAGED_BY}={MANAGER},{EXPOSURE}"
FLEET = "gateway.fluxgate.io/gateway"
"""Label of a fleet's pods: the name of their GatewayConfig."""

_LABEL_LENGTH = 63
_LIKE_A_SUFFIX = re.compile(r"-(external|tls|[0-9]+)$")
"""A gateway named ``web-tls`` must not want the object that ``web`` has for its hosts with TLS."""


def label_value(name: str) -> str:
    """``name``, or a shortened form: a label's value has at most 63 characters."""
    return fitted(name, _LABEL_LENGTH)


def fitted(name: str, length: int) -> str:
    """``name`` if it fits, else its beginning and a digest, so that two names stay two."""
    if len(name) <= length:
        return name
    return f"{name[: length - 11].rstrip('-.')}-{digest(name, 10)}"


def digest(text: str, length: int) -> str:
    """The beginning of the SHA-256 of ``text``, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def object_name(config: GatewayConfig, suffix: str = "") -> str:
    """``fluxgate-<gateway><suffix>`` as a name a Service may have (RFC 1035, 63 characters)."""
    gateway = config.metadata.name.replace(".", "-")
    if gateway != config.metadata.name or _LIKE_A_SUFFIX.search(gateway):
        gateway = f"{gateway}-{digest(config.metadata.name, 6)}"
    return fitted(f"fluxgate-{gateway}{suffix}", _LABEL_LENGTH)


def marked(config: GatewayConfig, document: Document) -> Document:
    """``document`` with owner, labels, and the digest of what it says.

    No ``blockOwnerDeletion``: where OwnerReferencesPermissionEnforcement is on (OpenShift), it
    would take the right to change finalizers of GatewayConfigs.
    """
    meta = config.metadata
    owner = {
        "apiVersion": API_VERSION,
        "kind": "GatewayConfig",
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
    }
    labels = {MANAGED_BY: MANAGER, EXPOSURE: label_value(meta.name)}
    given = document["metadata"]
    body = {
        **document,
        "metadata": {
            **given,
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": dict(given.get("annotations") or {}),
            "ownerReferences": [owner],
        },
    }
    said = json.dumps(body, sort_keys=True, separators=(",", ":"))
    body["metadata"]["annotations"][APPLIED] = digest(said, 32)
    return body


def owner_of(document: Document) -> ObjectRef | None:
    """The GatewayConfig one of our objects was made for; None for an object that is not ours."""
    meta = document["metadata"]
    labels = meta.get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER:
        return None
    for each in meta.get("ownerReferences") or ():
        group = str(each.get("apiVersion", "")).partition("/")[0]
        if group != API_VERSION.partition("/")[0] or each.get("kind") != "GatewayConfig":
            continue
        if labels.get(EXPOSURE) == label_value(each["name"]):
            return ObjectRef("GatewayConfig", meta["namespace"], each["name"])
    return None


def is_made_for(actual: Document, wanted: Document) -> bool:
    """Whether the object that has the name is ours.

    By its labels, or else, since they may have been taken away, because the very GatewayConfig
    controls it.
    """
    if owner_of(actual) == owner_of(wanted):
        return True
    mine = wanted["metadata"]["ownerReferences"][0]
    owners = actual["metadata"].get("ownerReferences") or ()
    return any(each.get("controller") and each["uid"] == mine["uid"] for each in owners)


def is_as_wanted(actual: Document, wanted: Document) -> bool:
    """Whether writing ``wanted`` would change nothing.

    Everything it says has to be there, and the digest tells that nothing that it no longer says was
    left behind. Labels, annotations and owners that others add are theirs.
    """
    meta, wish = actual["metadata"], wanted["metadata"]
    owners = meta.get("ownerReferences") or ()
    if not all(any(_holds(have, each) for have in owners) for each in wish["ownerReferences"]):
        return False
    rest = {key: value for key, value in wish.items() if key != "ownerReferences"}
    return _holds(actual, {**wanted, "metadata": rest})


def _holds(actual: object, wanted: object) -> bool:
    if isinstance(wanted, dict):
        return isinstance(actual, dict) and all(
            key in actual and _holds(actual[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return (
            isinstance(actual, list)
            and len(actual) == len(wanted)
            and all(map(_holds, actual, wanted))
        )
    return actual == wanted
