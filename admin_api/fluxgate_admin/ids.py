"""Public ids: ``rt_…`` for a Route, ``pl_…`` for a Plugin.

Made from kind, namespace and name, so an object has the same id whichever way it came in, before and
after a restart, in every replica, and no table has to be kept.
"""

from __future__ import annotations

import base64
import hashlib

from fluxgate.resources import ObjectRef

PREFIXES = {
    "Route": "rt",
    "Plugin": "pl",
    "Backend": "be",
    "Upstream": "up",
    "ApiKey": "ak",
    "Tenant": "tn",
    "GatewayConfig": "gw",
}
_CHARACTERS = 16
"""80 bits: two of a million objects share an id with a probability of 4e-13."""


def public_id(ref: ObjectRef) -> str:
    """The id of an object; raises ``KeyError`` for a kind without a prefix."""
    named = "\0".join(ref).encode()
    spelled = base64.b32encode(hashlib.sha256(named).digest()[:10]).decode().lower()
    return f"{PREFIXES[ref.kind]}_{spelled[:_CHARACTERS]}"
