"""Everything about who may call, put together; the composition roots build it once a process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import ClusterIdentities
from fluxgate_admin.auth import upkeep
from fluxgate_admin.auth.accounts import Accounts
from fluxgate_admin.auth.addresses import networks
from fluxgate_admin.auth.authenticator import Authenticator
from fluxgate_admin.auth.cluster import ClusterCallers
from fluxgate_admin.auth.key_check import KeyCheck
from fluxgate_admin.auth.keys import Keys
from fluxgate_admin.auth.records import Clock
from fluxgate_admin.auth.signing_keys import SigningKeys
from fluxgate_admin.auth.tokens import Tokens
from fluxgate_admin.db.database import Database
from fluxgate_admin.http.failed_calls import FailedCalls
from fluxgate_admin.http.limits import RateLimits
from fluxgate_admin.http.shared import Shared
from fluxgate_admin.http.windows import Windows
from fluxgate_admin.secret_box import SecretBox
from fluxgate_admin.settings import AdminSettings

KEY_SET_SECONDS = 5.0
"""So old the published keys may be: everybody may ask for them, and each answer is a query."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call, and how often. Close it with :meth:`close`."""

    authenticator: Authenticator
    keys: Keys
    accounts: Accounts
    signing_keys: SigningKeys
    tokens: Tokens
    public_keys: Shared[Sequence[dict[str, str]]]
    limits: RateLimits
    failed_calls: FailedCalls
    windows: Windows
    database: Database
    box: SecretBox
    clock: Clock

    async def seal_anew(self) -> int:
        """Before serving: every secret opens, and is sealed with the first master key; how many were not."""
        return await upkeep.seal_anew(self.database, self.box)

    async def rewrap(self, advance: Callable[[int], None] = lambda _: None) -> upkeep.Rewrapped:
        """Seal everything with the first master key; see ``upkeep.rewrap``."""
        return await upkeep.rewrap(self.database, self.box, advance)

    async def sealed_rows(self) -> int:
        """How many rows :meth:`rewrap` looks at."""
        return await upkeep.sealed_rows(self.database)

    async def forget_expired(self) -> int:
        """To be called now and then: used nonces and expired tokens go; how many."""
        return await upkeep.forget_expired(self.database, self.clock)

    async def close(self) -> None:
        """Let the connections of the limits go; the database is its opener's."""
        await self.windows.close()


def build_access(
    settings: AdminSettings,
    database: Database,
    clock: Clock,
    identities: ClusterIdentities | None = None,
    log: FilteringBoundLogger | None = None,
) -> Access:
    """Access by these settings; ``identities`` lets tokens of the cluster's in.

    Raises ``SecretBoxError`` without usable master keys, ``AddressFormatError`` for a trusted proxy that
    is no network.
    """
    box = SecretBox(settings.master_keys)
    trusted = networks(settings.trusted_proxies) if settings.trusted_proxies else ()
    signing_keys = SigningKeys(database, box, clock)
    tokens = Tokens(database, signing_keys, clock, settings.issuer, settings.token_seconds)
    check = KeyCheck(database, box, clock, settings.key_prefix, settings.signatures)
    windows = Windows(settings.limits.storage, log)
    cluster = None if identities is None else ClusterCallers(identities)
    return Access(
        authenticator=Authenticator(check, tokens, clock, trusted, cluster),
        keys=Keys(database, box, clock, settings.key_prefix),
        accounts=Accounts(database, clock),
        signing_keys=signing_keys,
        tokens=tokens,
        public_keys=Shared(signing_keys.public_keys, KEY_SET_SECONDS, lambda: clock().timestamp()),
        limits=RateLimits(settings.limits, windows),
        failed_calls=FailedCalls(settings.limits.failures, windows, log),
        windows=windows,
        database=database,
        box=box,
        clock=clock,
    )
