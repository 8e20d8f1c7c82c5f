"""One route of a virtual host: match, action, policies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from fluxgate.ir.auth import KeyAuth
from fluxgate.ir.match import RouteMatch, ValueMatch
from fluxgate.ir.policies.access import Access
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
    """Retries after the first attempt. Durations in milliseconds; 0 means not set.

    ``another_host``: not to an endpoint that was tried. ``hedge``: an attempt that takes
    longer than ``per_try_timeout_ms`` goes on beside the next one.
    """

    attempts: int
    retry_on: tuple[str, ...]
    status_codes: tuple[int, ...] = ()
    per_try_timeout_ms: int = 0
    per_try_idle_timeout_ms: int = 0
    another_host: bool = False
    hedge: bool = False
    back_off_base_ms: int = 25
    back_off_max_ms: int = 250


@dataclass(frozen=True, slots=True)
class HashPolicy:
    """What a consistent hash is computed from: exactly one of the fields is set.

    ``cookie_ttl_ms`` None only reads the cookie; else the proxy sets it, with 0 for a session.
    """

    header: str = ""
    cookie: str = ""
    cookie_ttl_ms: int | None = None
    source_ip: bool = False


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """A share of the requests. ``mark`` is what the cookie of a sticky forward says of it."""

    cluster: str
    weight: int
    mark: str = ""


@dataclass(frozen=True, slots=True)
class StickyCookie:
    """The cookie in which a client keeps which destination it came to.

    ``ttl_s`` in seconds, 0 for as long as the browser's session.
    """

    name: str
    ttl_s: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """Requests that go to ``cluster`` whatever the weights say: all of ``headers`` match."""

    headers: tuple[ValueMatch, ...]
    cluster: str


@dataclass(frozen=True, slots=True)
class MirrorIR:
    """A copy of ``percent`` of the requests goes to ``cluster``."""

    cluster: str
    percent: float


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to one of ``destinations``. Timeouts in milliseconds, 0 switches one off.

    ``overrides`` are tried in order before the weights count. ``choose_by_hash``: the
    destination follows ``hash_policy``, not chance.
    """

    destinations: tuple[WeightedCluster, ...]
    timeout_ms: int = 30_000
    idle_timeout_ms: int | None = None
    retry: RetryPolicy | None = None
    mirrors: tuple[MirrorIR, ...] = ()
    path_rewrite: PathRewriteIR | None = None
    host_rewrite: str = ""
    hash_policy: HashPolicy | None = None
    websocket: bool = False
    overrides: tuple[Override, ...] = ()
    choose_by_hash: bool = False
    sticky_cookie: StickyCookie | None = None


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer in the proxy itself, with a body of the error shape when there is a message.

    With ``verbatim`` the message is the body as it is, of ``content_type``, whatever the status.
    """

    status: int
    message: str = ""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    verbatim: bool = False


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

    @property
    def authenticated(self) -> bool:
        """Whether some credential may say who is calling."""
        return self.key_auth is not None or self.policy(Access) is not None

    @property
    def made_from(self) -> tuple[ObjectRef, ...]:
        """The objects that may be to blame for it: its own, and those that decide its policies."""
        if not self.chain:
            return (self.origin,)
        links = [ref for link in self.chain for ref in (link.source, *link.appended_to)]
        return tuple(dict.fromkeys((self.origin, *links)))

    def policy(self, kind: type[P]) -> P | None:
        """What the policy of one class says, if the route has one."""
        for each in self.policies:
            if isinstance(each, kind):
                return each
        return None
