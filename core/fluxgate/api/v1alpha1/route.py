"""Route: which requests go where, and under which policies."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.base import (
    MAX_REGEX_LENGTH,
    Duration,
    HeaderName,
    Hostname,
    Model,
    ObjectName,
    Percent,
    Port,
    Resource,
    Scope,
    Weight,
)
from fluxgate.api.v1alpha1.policy import CircuitBreaker, Cors, Method, Retry, Timeouts


class PathMatch(Model):
    """A match on the normalised path, without the query string.

    ``Exact`` compares the whole path. ``Prefix`` matches whole segments: ``/a``
    matches ``/a`` and ``/a/b``, not ``/ab``. ``Template`` has ``{name}`` for one
    segment, ``{name=**}`` at the end for the rest. ``Regex`` is RE2 and matches
    the whole path.
    """

    type: Literal["Exact", "Prefix", "Template", "Regex"] = "Prefix"
    value: Annotated[str, StringConstraints(min_length=1, max_length=MAX_REGEX_LENGTH)] = "/"


class HeaderMatch(Model):
    """A match on one request header."""

    name: HeaderName
    type: Literal["Exact", "Regex", "Present", "Absent"] = "Exact"
    value: Annotated[str, StringConstraints(max_length=MAX_REGEX_LENGTH)] = ""


class QueryParamMatch(Model):
    """A match on one query parameter."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    type: Literal["Exact", "Regex", "Present", "Absent"] = "Exact"
    value: Annotated[str, StringConstraints(max_length=MAX_REGEX_LENGTH)] = ""


class RouteMatch(Model):
    """One set of conditions; all of them must hold."""

    path: PathMatch = PathMatch()
    methods: tuple[Method, ...] = Field(default=(), description="Empty means any method.")
    headers: Annotated[tuple[HeaderMatch, ...], Field(max_length=16)] = ()
    query_params: Annotated[tuple[QueryParamMatch, ...], Field(max_length=16)] = ()
    credential: Literal["ApiKey", "JWT", "None"] | None = Field(
        default=None, description="Only requests that present this class of credential."
    )


class BackendRef(Model):
    """Where a share of a route's requests goes: a named object, or a URL written in place."""

    kind: Literal["Backend", "Upstream", "Service"] = "Backend"
    name: ObjectName | None = None
    port: Port | None = Field(default=None, description="The port of a Service.")
    url: Annotated[str, StringConstraints(pattern=r"^https?://", max_length=2048)] | None = None
    weight: Weight = 1


class Mirror(Model):
    """A copy of a share of the requests goes to a second backend; its answers are dropped."""

    backend: BackendRef
    percent: Percent = 100


class PathRewrite(Model):
    """How the path changes before the upstream sees it."""

    type: Literal["ReplacePrefix", "ReplaceFull", "Regex"]
    value: Annotated[str, StringConstraints(max_length=1024)]
    pattern: Annotated[str, StringConstraints(max_length=MAX_REGEX_LENGTH)] | None = None


class Rewrite(Model):
    """Changes to path and host before the upstream sees them."""

    path: PathRewrite | None = None
    host: Hostname | None = None


class RouteAuth(Model):
    """Who may call the route.

    With ``required``, a request needs one of ``credentials``, verified by the
    proxy, and every scope in ``scopes``. ``Optional`` verifies a credential that
    is presented and lets the others pass without identity.
    """

    mode: Literal["None", "Optional", "Required"] = "Required"
    credentials: tuple[Literal["ApiKey", "JWT"], ...] = ("ApiKey",)
    scopes: tuple[Scope, ...] = ()
    audiences: tuple[str, ...] = Field(default=(), description="Key audiences that may call.")
    privilege_domain: Literal["structural_admin", "data_access"] | None = None
    sub_domain: Literal["function_deployment"] | None = None


class RouteRateLimit(Model):
    """The plan whose limit counts on this route, for every key by itself."""

    plan: ObjectName


class Async(Model):
    """Queue the call and answer at once; deliver it later with retries."""

    enabled: bool = True
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 10
    timeout: Duration = "30s"


class PluginUse(Model):
    """A Plugin by name, or one written in place."""

    name: ObjectName | None = None
    type: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=63)] | None = (
        None
    )
    config: dict[str, Any] = Field(default_factory=dict)
    enabled: bool = True


class RouteSpec(Model):
    """The specification of a Route."""

    enabled: bool = True
    gateways: tuple[ObjectName, ...] = Field(
        default=(), description="GatewayConfigs that serve the route; empty means all of them."
    )
    listeners: tuple[ObjectName, ...] = Field(
        default=(), description="Listeners of these gateways; empty means all of them."
    )
    priority: Annotated[int, Field(ge=-1000, le=1000)] = Field(
        default=0, description="Higher is tried first, before every other rule of precedence."
    )
    hosts: Annotated[tuple[Hostname, ...], Field(max_length=64)] = Field(
        default=(), description="Empty means any host."
    )
    matches: Annotated[tuple[RouteMatch, ...], Field(min_length=1, max_length=64)] = (RouteMatch(),)
    backends: Annotated[tuple[BackendRef, ...], Field(max_length=32)] = ()
    mirror: Mirror | None = None
    rewrite: Rewrite | None = None
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    circuit_breaker: CircuitBreaker | None = None
    realtime: bool = Field(
        default=False,
        description="Server-sent events, WebSockets, long streams: no request timeout.",
    )
    async_: Async | None = Field(default=None, alias="async")
    auth: RouteAuth | None = None
    rate_limit: RouteRateLimit | None = None
    cors: Cors | None = None
    plugins: Annotated[tuple[PluginUse, ...], Field(max_length=64)] = ()
    tenant: ObjectName | None = None
    workspace: str | None = None
    description: Annotated[str, StringConstraints(max_length=1024)] = ""


class Route(Resource):
    """Which requests go to which backends, and under which policies."""

    plural: ClassVar[str] = "routes"
    short_names: ClassVar[tuple[str, ...]] = ("fgr",)
    kind: Literal["Route"] = "Route"
    spec: RouteSpec
