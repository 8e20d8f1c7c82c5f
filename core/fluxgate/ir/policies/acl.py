"""Who of the verified callers may use a route."""

from __future__ import annotations

from dataclasses import dataclass, fields

from fluxgate.ir.policy import RoutePolicy


@dataclass(frozen=True, slots=True)
class AclEntries:
    """Lists of what callers have. Domains carry their prefix, as scopes do."""

    scopes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    subdomains: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def lists(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Name and entries of each list that has any."""
        listed = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return tuple([(name, entries) for name, entries in listed if entries])


@dataclass(frozen=True, slots=True)
class Acl(RoutePolicy):
    """A caller needs one entry of every list of ``allow``, and none of any list of ``deny``."""

    allow: AclEntries = AclEntries()
    deny: AclEntries = AclEntries()
