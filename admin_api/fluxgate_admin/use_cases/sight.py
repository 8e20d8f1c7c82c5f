"""What a caller may read of texts and lists that others' objects occur in. Pure.

What is in a namespace that a caller does not see answers exactly as what does not exist. Conditions, findings
and Envoy's own words name objects of others where they got in the way; those names are taken out.
"""

from __future__ import annotations

import re

from fluxgate_admin.principal import Principal

ANOTHER = "another object"

_NAME = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"
_MENTION = re.compile(
    rf"(?<![\w/.-])(?P<lead>[A-Z][A-Za-z]+ |[a-z]+/)(?P<namespace>{_NAME})/(?P<name>{_NAME})(?:[/:][\w.:/-]*\w)?"
)
"""``Route shop/orders`` as statuses name objects, ``route/shop/orders/0`` as Envoy's resources are named."""


def redacted(principal: Principal, text: str) -> str:
    """``text`` without the names of objects in namespaces that the caller does not see."""
    if principal.namespaces is None or "/" not in text:
        return text

    def shown(match: re.Match[str]) -> str:
        return match[0] if principal.sees(match["namespace"]) else ANOTHER

    return _MENTION.sub(shown, text)


def sees_everything(principal: Principal) -> bool:
    """Whether there is no namespace that the caller does not see."""
    return principal.namespaces is None


def mentions_only_own(principal: Principal, name: str) -> bool:
    """Whether a resource of Envoy's is named after an object the caller sees."""
    if principal.namespaces is None:
        return True
    match = _MENTION.match(name)
    return match is not None and principal.sees(match["namespace"])
