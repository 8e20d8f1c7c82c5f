"""What a route matches."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PathKind(StrEnum):
    """How a path is compared; see :mod:`fluxgate.routing.precedence` for their order."""

    EXACT = "Exact"
    TEMPLATE = "Template"
    REGEX = "Regex"
    PREFIX = "Prefix"


class ValueKind(StrEnum):
    """How a header or a query parameter is compared."""

    EXACT = "Exact"
    REGEX = "Regex"
    PRESENT = "Present"
    ABSENT = "Absent"


class CredentialClass(StrEnum):
    """What a request presents, before anything is verified: the first of these that applies."""

    API_KEY = "ApiKey"
    JWT = "JWT"
    NONE = "None"


@dataclass(frozen=True, slots=True)
class PathMatch:
    """A comparison with the normalised path, without its query."""

    kind: PathKind
    value: str


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A comparison with one header (name in lower case) or query parameter."""

    name: str
    kind: ValueKind
    value: str = ""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Conditions that all must hold. ``methods`` is sorted; empty means any."""

    path: PathMatch
    methods: tuple[str, ...] = ()
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    credential: CredentialClass | None = None
