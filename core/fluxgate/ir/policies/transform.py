"""Changes of requests and answers on their way through the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fluxgate.ir.policy import RoutePolicy


class Source(StrEnum):
    """Where a part of a template comes from."""

    TEXT = "text"
    REQUEST_HEADER = "request.headers"
    REQUEST_QUERY = "request.query"
    REQUEST_METHOD = "request.method"
    REQUEST_PATH = "request.path"
    REQUEST_HOST = "request.host"
    REQUEST_SCHEME = "request.scheme"
    REQUEST_ID = "request.id"
    CLIENT_IP = "client.ip"
    RESPONSE_HEADER = "response.headers"
    RESPONSE_STATUS = "response.status"


@dataclass(frozen=True, slots=True)
class Part:
    """Literal text, or a value of the request or answer; ``name`` is the text, or which one."""

    source: Source
    name: str = ""


Template = tuple[Part, ...]
"""The parts of a value, one after the other; what is absent is empty."""


class Change(StrEnum):
    """What happens to one header, query parameter or field."""

    SET = "set"
    ADD = "add"
    REMOVE = "remove"
    RENAME = "rename"


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """``value`` for ``SET`` (replaces) and ``ADD`` (one more), ``to`` for ``RENAME``."""

    change: Change
    name: str
    value: Template = ()
    to: str = ""

    @property
    def from_query(self) -> bool:
        """Whether the value holds one of the query, which Envoy's own formatter does not check."""
        return any(part.source is Source.REQUEST_QUERY for part in self.value)


@dataclass(frozen=True, slots=True)
class QueryChange:
    """A change of one query parameter; names and values as they are before encoding."""

    change: Change
    name: str
    value: Template = ()


Step = str | None
"""The name or number of a member, or None for every member."""


@dataclass(frozen=True, slots=True)
class BodyChange:
    """A change at ``path`` of a JSON document.

    ``SET`` replaces or makes a field, ``ADD`` makes it where it is absent; both take ``value`` (a string
    made of a template) or ``json`` (any other value, as its text). ``RENAME`` gives the last
    step the name ``to``.
    """

    change: Change
    path: tuple[Step, ...]
    value: Template | None = None
    json: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class BodyChanges:
    """Changes of JSON bodies up to ``max_bytes``. ``refuse`` what is not JSON, or pass it as it is."""

    changes: tuple[BodyChange, ...]
    max_bytes: int
    refuse: bool = False


@dataclass(frozen=True, slots=True)
class RequestTransform(RoutePolicy):
    """What changes before the upstream sees the request; path and host are part of the action."""

    headers: tuple[HeaderChange, ...] = ()
    query: tuple[QueryChange, ...] = ()
    body: BodyChanges | None = None


@dataclass(frozen=True, slots=True)
class ResponseTransform(RoutePolicy):
    """What changes before the client sees the answer."""

    headers: tuple[HeaderChange, ...] = ()
    body: BodyChanges | None = None


@dataclass(frozen=True, slots=True)
class SecurityHeaders(RoutePolicy):
    """Headers that tell browsers to be careful; ``transport`` (HSTS) goes over HTTPS only.

    Those the upstream sends stay, unless ``override``.
    """

    headers: tuple[tuple[str, str], ...]
    transport: str = ""
    override: bool = False
