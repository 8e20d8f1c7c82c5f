"""Who sends a request: a key, a token of ours, a token of the cluster's, or a key and a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fluxgate_admin.auth.addresses import Address, Network, client_address
from fluxgate_admin.auth.cluster import ClusterCaller, ClusterCallers
from fluxgate_admin.auth.key_check import REFUSED, KeyCheck
from fluxgate_admin.auth.records import Clock, Key, Presented
from fluxgate_admin.auth.scopes import common, common_namespaces
from fluxgate_admin.auth.tokens import Tokens, VerifiedToken
from fluxgate_admin.errors import UnauthenticatedError
from fluxgate_admin.principal import Principal, PrincipalKind

KEY_HEADER = "x-fluxgate-key"
ROTATION_DUE_HEADER = "x-fluxgate-key-rotation-due"
_LONGEST = 16 * 1024
_CHALLENGE = {"www-authenticate": 'Bearer realm="fluxgate"'}
_BAD_TOKEN = {"www-authenticate": 'Bearer realm="fluxgate", error="invalid_token"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller: ``key`` or ``token`` is what it can rotate. ``headers`` go into the answer.

    One of ``cluster`` may nothing before :meth:`Authenticator.authorise` has asked what.
    """

    principal: Principal
    key: Key | None = None
    token: VerifiedToken | None = None
    cluster: ClusterCaller | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Authenticator:
    """Reads ``X-Fluxgate-Key`` and ``Authorization: Bearer``, and nothing else: no query, no cookie.

    With both, both have to be good and of one organisation; the caller may what both allow.
    """

    def __init__(
        self,
        keys: KeyCheck,
        tokens: Tokens,
        clock: Clock,
        trusted_proxies: tuple[Network, ...] = (),
        cluster: ClusterCallers | None = None,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._trusted_proxies = trusted_proxies
        self._cluster = cluster

    def address(self, presented: Presented) -> Address | None:
        """Where the request comes from; see ``addresses.client_address``."""
        forwarded = presented.values("x-forwarded-for")
        return client_address(presented.peer, forwarded, self._trusted_proxies)

    async def authenticate(self, presented: Presented) -> Caller:
        """Who it is.

        Raises :class:`UnauthenticatedError`, ``AddressNotAllowedError``, ``UnavailableError``.
        """
        text = _single(presented, KEY_HEADER)
        token = _bearer(presented)
        if text is None and token is None:
            raise UnauthenticatedError(
                "Send a key in X-Fluxgate-Key, or a token in Authorization: Bearer.",
                headers=_CHALLENGE,
            )
        by_key = None if text is None else await self._by_key(text, presented)
        by_token = None if token is None else await self._by_token(token, presented)
        if by_key is None or by_token is None:
            only = by_key or by_token
            assert only is not None
            return only
        return _both(by_key, by_token)

    async def authorise(self, caller: Caller, wanted: frozenset[str] | None) -> Caller:
        """The caller, who may (of what the call ``wanted``; None: of everything) what it may.

        Raises ``UnavailableError``.
        """
        if caller.cluster is None or self._cluster is None:
            return caller
        return replace(caller, principal=await self._cluster.allowed(caller.cluster, wanted))

    async def _by_key(self, text: str, presented: Presented) -> Caller:
        key = await self._keys.check(text, presented, self.address(presented))
        principal = Principal(
            id=key.id,
            kind=PrincipalKind.KEY,
            name=key.name,
            organisation=key.organisation,
            scopes=key.scopes,
            namespaces=key.namespaces,
        )
        due = key.rotation_due_at
        headers = {}
        if due <= self._clock() and key.replaced_by is None:
            headers[ROTATION_DUE_HEADER] = due.isoformat(timespec="seconds").replace("+00:00", "Z")
        return Caller(principal, key=key, headers=headers)

    async def _by_token(self, token: str, presented: Presented) -> Caller:
        if self._tokens.is_ours(token):
            verified = await self._tokens.verify(token)
            if verified is not None:
                return Caller(verified.principal, token=verified)
        elif self._cluster is not None:
            found = await self._cluster.verify(token, presented.namespace)
            if found is not None:
                return Caller(found.principal, cluster=found)
        raise UnauthenticatedError(REFUSED, headers=_BAD_TOKEN)


def _both(by_key: Caller, by_token: Caller) -> Caller:
    """The key, held to what the token allows, too."""
    key, token = by_key.principal, by_token.principal
    if by_token.cluster is not None or key.organisation != token.organisation:
        raise UnauthenticatedError(REFUSED, headers=_BAD_TOKEN)
    principal = replace(
        key,
        scopes=common(key.scopes, token.scopes),
        namespaces=common_namespaces(key.namespaces, token.namespaces),
    )
    return replace(by_key, principal=principal, token=by_token.token)


def _single(presented: Presented, name: str) -> str | None:
    values = presented.values(name)
    if len(values) > 1 or any(len(value) > _LONGEST for value in values):
        raise UnauthenticatedError(REFUSED)
    return values[0] if values else None


def _bearer(presented: Presented) -> str | None:
    value = _single(presented, "authorization")
    if value is None:
        return None
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthenticatedError(REFUSED, headers=_CHALLENGE)
    return token.strip()
