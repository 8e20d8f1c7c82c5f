"""Whether a filter that verifies one class of credentials has to refuse requests without it."""

from __future__ import annotations

from fluxgate.ir import HTTPRoute
from fluxgate.ir.policies.access import Access


def may_be_missing(route: HTTPRoute, credential: str) -> bool:
    """Whether another credential, or none, may do instead of ``credential``.

    Only where the access filter counts the class among those it decides by: it then
    refuses what nobody has verified. Everywhere else the filter stands alone.
    """
    access = route.policy(Access)
    return (
        access is not None and credential in access.credentials and access.optional_for(credential)
    )
