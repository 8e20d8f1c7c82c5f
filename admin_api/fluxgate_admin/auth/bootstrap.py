"""The first key of an installation: everything after it is made through the API."""

from __future__ import annotations

from fluxgate_admin.auth.addresses import LOOPBACK
from fluxgate_admin.auth.keys import Keys
from fluxgate_admin.auth.records import IssuedKey
from fluxgate_admin.errors import ConflictError

ORGANISATION = "default"


async def bootstrap(
    keys: Keys,
    *,
    organisation: str = ORGANISATION,
    name: str = "bootstrap",
    allowed_addresses: tuple[str, ...] = LOOPBACK,
) -> IssuedKey:
    """The key that may everything, while its organisation has none that is active.

    So it is also the way back in after the last key expired or was revoked; whoever can run it holds the
    database and the master keys already. Raises :class:`ConflictError` ``already_bootstrapped``.
    """
    issued = await keys.issue_first(organisation, name, allowed_addresses)
    if issued is None:
        raise ConflictError(
            f"The organisation {organisation} has an active key: create further ones with it "
            "(POST /v2/auth/keys).",
            error="already_bootstrapped",
        )
    return issued
