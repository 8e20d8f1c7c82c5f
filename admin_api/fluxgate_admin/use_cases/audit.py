"""The log of calls: whose record it is, who reads it, and where a page begins.

Who sees all namespaces reads everything. Who is bound to namespaces reads what was called by its own
organisation, where every namespace that can occur in the record is one that it sees: it could have made the
same call itself, and been told the same. What nobody knows enough about belongs to nobody, and only who sees
everything reads it. (docs/decisions/0032)
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
from dataclasses import replace
from enum import StrEnum

from fluxgate_admin.errors import UnprocessableError
from fluxgate_admin.principal import Principal, PrincipalKind
from fluxgate_admin.use_cases.ports import (
    AuditLog,
    AuditPage,
    AuditPlace,
    AuditQuery,
    AuditSight,
)

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
"""A namespace's name (RFC 1123)."""
_IN_BRACKETS = re.compile(r".* \(([^()]+)\)")
_SECRET = re.compile(r"(sk_(?:live|test)_|fss_|fcs_|eyJ)[A-Za-z0-9_.-]+")
_LARGEST = 2**63 - 1


class AuditOutcome(StrEnum):
    """What became of a call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    """No answer was begun: the server stopped, or the caller went."""


STATUSES = {
    AuditOutcome.ACCEPTED: (100, 399),
    AuditOutcome.REFUSED: (400, 999),
    AuditOutcome.UNANSWERED: (0, 0),
}
"""The lowest and the highest status of each outcome."""


def outcome_of(status: int) -> AuditOutcome:
    """What became of a call with this status."""
    return next(each for each, (low, high) in STATUSES.items() if low <= status <= high)


class AuditTrail:
    """The calls that a caller may know of."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log

    async def page(self, principal: Principal, query: AuditQuery) -> AuditPage:
        """A page of ``query``, whatever its ``sight`` says. Raises ``UnavailableError``."""
        asked = replace(
            query,
            sight=sight_of(principal),
            principal=without_secrets(credential_id(query.principal)),
            path=without_secrets(query.path),
            request_id=without_secrets(query.request_id),
        )
        return await self._log.page(asked)


def without_secrets(text: str) -> str:
    """``text`` without what looks like a credential; its kind stays: ``sk_live_…``."""
    return _SECRET.sub(r"\1…", text)


def sight_of(principal: Principal) -> AuditSight | None:
    """What a caller reads of the log; None is everything."""
    if principal.namespaces is None:
        return None
    return AuditSight(principal.organisation, principal.namespaces)


def namespaces_of(principal: Principal | None, named: str) -> frozenset[str] | None:
    """Every namespace that can occur in the record of a call; None for all of them, or when nobody knows.

    What the caller sees bounds what it was told; a ServiceAccount's name has its own namespace in it, and the
    path the one that was ``named`` (empty: none), which need not be one that the caller sees.
    """
    if principal is None or not principal.namespaces:
        return None
    found = {*principal.namespaces, *([named] if named else ())}
    if principal.kind is PrincipalKind.KUBERNETES:
        found.add(_home(principal.id))
    # what is no namespace's name is nobody's namespace: nobody who is bound sees it
    return frozenset(found) if all(map(_LABEL.fullmatch, found)) else None


def _home(username: str) -> str:
    """Of ``system:serviceaccount:<namespace>:<name>``."""
    return username.split(":")[2]


def credential_id(text: str) -> str:
    """The id in ``key:ci (key_7f…)``, as records show callers; a bare id is one already."""
    match = _IN_BRACKETS.fullmatch(text)
    return match[1] if match is not None else text


def moment(name: str, text: str | None) -> dt.datetime | None:
    """A time of RFC 3339, None for none. Raises :class:`UnprocessableError` where there is no such moment."""
    if not text:
        return None
    try:
        return dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise UnprocessableError(f"{name}: there is no such time.", error="invalid") from None


def cursor_of(place: AuditPlace) -> str:
    """The cursor behind a record."""
    text = f"{place.at.astimezone(dt.UTC).isoformat()} {place.number}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str | None) -> AuditPlace | None:
    """The place a cursor stands for; None for none. Raises :class:`UnprocessableError`."""
    if not text:
        return None
    try:
        said = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True).decode()
        at, number = said.split(" ")
        place = AuditPlace(dt.datetime.fromisoformat(at), int(number))
    except (binascii.Error, ValueError):
        place = None
    if place is None or place.at.utcoffset() != dt.timedelta(0) or not 0 < place.number <= _LARGEST:
        raise UnprocessableError(
            "after: is not a cursor of this list; take it from `after` of the page before.",
            error="invalid_cursor",
        )
    return place
