"""One route of a virtual host: match, action, policies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from fluxgate.ir.auth import KeyAuth
from fluxgate.ir.match import RouteMatch
from fluxgate.ir.policy import PolicyOrigin, RoutePolicy
from fluxgate.resources import ObjectRef

P = TypeVar("P", bound=RoutePolicy)


class RewriteKind(StrEnum):
    """How the path changes towards the upstream."""

    PREFIX = "ReplacePrefix"
    FULL = "ReplaceFull"
    REGEX = "Regex"


@dataclass(frozen=True, slots=True)
class PathRewriteIR:
    """A change of the path; ``pattern`` only for ``REGEX``."""

    kind: RewriteKind
    value: str
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Retries after the first attempt. Durations in milliseconds; 0 means not set."""

    attempts: int
    retry_on: tuple[str, ...]
    status_codes: tuple[int, ...] = ()
    per_try_timeout_ms: int = 0
    back_off_base_ms: int = 25
    back_off_max_ms: int = 250


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """What a consistent hash is computed from: exactly one of the fields is set."""

    header: str = ""
    cookie: str = ""
    cookie_ttl_ms: int = 0
    source_ip: bool = False


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """A share of the requests."""

    cluster: str
    weight: int


@dataclass(frozen=True, slots=True)
class MirrorIR:
    """A copy of ``percent`` of the requests goes to ``cluster``."""

    cluster: str
    percent: float


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to one of ``destinations``. Timeouts in milliseconds, 0 switches one off."""

    destinations: tuple[WeightedCluster, ...]
    timeout_ms: int = 30_000
    idle_timeout_ms: int | None = None
    retry: RetryPolicy | None = None
    mirror: MirrorIR | None = None
    path_rewrite: PathRewriteIR | None = None
    host_rewrite: str = ""
    hash_policy: HashPolicy | None = None
    websocket: bool = False


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer in the proxy itself, with a body of the error shape when there is a message."""

    status: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the client elsewhere; what is not set stays as the request has it."""

    status: int = 302
    scheme: str = ""
    host: str = ""
    port: int = 0
    path: str = ""
    """Replaces the whole path."""
    prefix: str = ""
    """Replaces what the route matched of the path."""
    strip_query: bool = False


RouteAction = Forward | DirectResponse | Redirect


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """CORS; origins are exact, ``*``, or hold one ``*``. ``max_age_s`` in seconds."""

    allow_origins: tuple[str, ...]
    allow_methods: tuple[str, ...]
    allow_headers: tuple[str, ...]
    expose_headers: tuple[str, ...]
    allow_credentials: bool
    max_age_s: int


@dataclass(frozen=True, slots=True)
class HTTPRoute:
    """One route: ``name`` reads back to the user's object (``route/<namespace>/<name>/<match>``).

    ``plan`` is the plan the route itself counts on (empty for none), ``created``
    the creation time that decides a conflict.
    """

    name: str
    origin: ObjectRef
    match: RouteMatch
    action: RouteAction
    priority: int = 0
    created: str = ""
    key_auth: KeyAuth | None = None
    cors: CorsPolicy | None = None
    plan: str = ""
    realtime: bool = False
    policies: tuple[RoutePolicy, ...] = ()
    """At most one of each class, in the order of their types' names."""
    clusters: tuple[str, ...] = ()
    """Clusters that the policies call, besides those the action sends to."""
    chain: tuple[PolicyOrigin, ...] = ()
    """Where every policy in force comes from, by type."""

    def policy(self, kind: type[P]) -> P | None:
        """What the policy of one class says, if the route has one."""
        for each in self.policies:
            if isinstance(each, kind):
                return each
        return None
