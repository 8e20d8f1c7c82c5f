"""Which credentials a caller may see and hand out. Pure; every rule is here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from fluxgate_admin.auth.scopes import beyond, contains, known
from fluxgate_admin.errors import NotFoundError, ScopeMismatchError, UnprocessableError
from fluxgate_admin.principal import Principal

OTHER_ORGANISATIONS = "tenants:admin"
"""The scope for credentials of other organisations than the caller's."""


class Credential(Protocol):
    """A key or an account."""

    @property
    def organisation(self) -> str:
        """Whose it is."""
        ...

    @property
    def scopes(self) -> frozenset[str]:
        """What it may do."""
        ...

    @property
    def namespaces(self) -> frozenset[str] | None:
        """Where; None is everywhere."""
        ...


_C = TypeVar("_C", bound=Credential)


def reaches_others(caller: Principal) -> bool:
    """Whether the caller runs the installation: it sees every organisation."""
    return caller.namespaces is None and caller.may(OTHER_ORGANISATIONS)


def sees(caller: Principal, credential: Credential) -> bool:
    """Whether a credential exists for the caller: of its organisation, and no wider than its namespaces."""
    same = credential.organisation == caller.organisation or reaches_others(caller)
    return same and contains(caller.namespaces, credential.namespaces)


def visible(caller: Principal, credential: _C | None, what: str) -> _C:
    """``credential`` when it exists for the caller; :class:`NotFoundError` otherwise."""
    if credential is None or not sees(caller, credential):
        raise NotFoundError(f"There is no {what}.")
    return credential


def organisation_for(caller: Principal, wanted: str) -> str:
    """Whose a new credential is; :class:`ScopeMismatchError` for another organisation's."""
    if wanted in {"", caller.organisation}:
        return caller.organisation
    if not reaches_others(caller):
        raise ScopeMismatchError(OTHER_ORGANISATIONS)
    return wanted


def check_grant(
    caller: Principal, scopes: frozenset[str], namespaces: frozenset[str] | None
) -> None:
    """Nobody hands out more than it has.

    Raises :class:`UnprocessableError` for scopes that there are not, :class:`ScopeMismatchError` for those
    the caller lacks, and for namespaces it does not see.
    """
    _check_known(scopes)
    if lacking := beyond(scopes, caller.scopes):
        raise ScopeMismatchError(lacking[0])
    if not contains(caller.namespaces, namespaces):
        if namespaces is None:
            message = "This credential is bound to namespaces: name some of them."
        else:
            message = "Namespaces must be among those of the calling credential."
        raise UnprocessableError(message, [{"pointer": "/namespaces", "message": message}])


def check_takeover(caller: Principal, credential: Credential) -> None:
    """Whoever gets the secret of a credential must have all its scopes already."""
    if lacking := beyond(credential.scopes, caller.scopes):
        raise ScopeMismatchError(lacking[0])


def _check_known(scopes: Iterable[str]) -> None:
    problems = [
        {"pointer": "/scopes", "message": f"{each!r} is not a scope."}
        for each in sorted(scopes)
        if not known(each)
    ]
    if problems:
        raise UnprocessableError("A scope is not known.", problems)
    if not set(scopes):
        message = "A credential without a scope could do nothing: name one."
        raise UnprocessableError(message, [{"pointer": "/scopes", "message": message}])
