"""Route: which requests go where, and under which policies."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1.balancing import Sticky
from fluxgate.api.v1alpha1.base import (
    Duration,
    ExactHostname,
    Hostname,
    HttpUrl,
    Line,
    Model,
    ObjectName,
    Percent,
    Port,
    PrinterColumn,
    Regex,
    Resource,
    Scope,
    Text,
    Weight,
)
from fluxgate.api.v1alpha1.matching import RouteMatch
from fluxgate.api.v1alpha1.policy import CircuitBreaker, Cors, Retry, Timeouts
from fluxgate.api.v1alpha1.rules import Rule, how_many


class BackendRef(Model):
    """Where a share of a route's requests goes: a named object, or a URL written in place."""

    kind: Literal["Backend", "Upstream", "Service"] = "Backend"
    name: ObjectName | None = None
    port: Port | None = Field(default=None, description="The port of a Service.")
    url: HttpUrl | None = None
    weight: Weight = 1

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of name and url",
            "has(self.name) != has(self.url)",
            lambda self: how_many(self.name, self.url) == 1,
        ),
        Rule(
            "port",
            "a Service needs a port, and only a Service has one",
            "has(self.url) || (self.kind == 'Service') == has(self.port)",
            lambda self: (
                self.url is not None or (self.kind == "Service") == (self.port is not None)
            ),
        ),
        Rule(
            "port",
            "write the port into the url",
            "!has(self.url) || !has(self.port)",
            lambda self: self.url is None or self.port is None,
        ),
    )


class Mirror(Model):
    """A copy of a share of the requests goes to a second backend; its answers are dropped."""

    backend: BackendRef
    percent: Percent = 100


class PathRewrite(Model):
    """How the path changes before the upstream sees it."""

    type: Literal["ReplacePrefix", "ReplaceFull", "Regex"]
    value: Line
    pattern: Regex | None = Field(
        default=None, description="What a Regex rewrite replaces; \\1 in value is its first group."
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "pattern",
            "a Regex rewrite needs a pattern, the other types have none",
            "(self.type == 'Regex') == has(self.pattern)",
            lambda self: (self.type == "Regex") == (self.pattern is not None),
        ),
        Rule(
            "value",
            "must start with /",
            "self.type == 'Regex' || self.value.startsWith('/')",
            lambda self: self.type == "Regex" or self.value.startswith("/"),
        ),
    )


class Rewrite(Model):
    """Changes to path and host before the upstream sees them."""

    path: PathRewrite | None = None
    host: ExactHostname | None = None


Audience = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.:@/+=~-]+$", min_length=1, max_length=256)
]
"""For whom a key was made (anon, service, project, admin), or the aud of a token."""


class RouteAuth(Model):
    """Who may call the route.

    With ``required``, a request needs one of ``credentials``, verified by the
    proxy, and every scope in ``scopes``. ``Optional`` verifies a credential that
    is presented and lets the others pass without identity.
    """

    mode: Literal["None", "Optional", "Required"] = "Required"
    credentials: Annotated[
        tuple[Literal["MTLS", "JWT", "OIDC", "ApiKey", "Basic"], ...], Field(max_length=5)
    ] = Field(
        default=(),
        description="Any of these will do; of several the strongest counts. Empty: those that "
        "policies on the route verify (mtls-auth, jwt-auth, oidc, key-auth, basic-auth), API keys "
        "without such a policy. A policy that verifies a class which is not listed here refuses "
        "requests without it by itself, but for jwt-auth: tokens are not looked at then.",
    )
    scopes: Annotated[tuple[Scope, ...], Field(max_length=64)] = Field(
        default=(), description="All of them are needed."
    )
    audiences: Annotated[tuple[Audience, ...], Field(max_length=16)] = Field(
        default=(),
        description="For whom a key was made or a token issued; one is enough, empty means any.",
    )
    privilege_domain: Literal["structural_admin", "data_access"] | None = None
    sub_domain: Literal["function_deployment"] | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "mode",
            "scopes, audiences, privilegeDomain and subDomain need mode Required",
            "self.mode == 'Required' || (!(has(self.scopes) && self.scopes.size() > 0)"
            " && !(has(self.audiences) && self.audiences.size() > 0)"
            " && !has(self.privilegeDomain) && !has(self.subDomain))",
            lambda self: (
                self.mode == "Required"
                or not (self.scopes or self.audiences or self.privilege_domain or self.sub_domain)
            ),
        ),
    )


class RouteRateLimit(Model):
    """The limit that counts on this route, for every key by itself: a plan, or numbers in place."""

    plan: ObjectName | None = None
    requests: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    window: Duration = "1m"
    burst: Annotated[int, Field(ge=1, le=100_000_000)] | None = None

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of plan and requests",
            "has(self.plan) != has(self.requests)",
            lambda self: how_many(self.plan, self.requests) == 1,
        ),
        Rule(
            "burst",
            "burst goes with requests; a plan has its own",
            "!has(self.burst) || has(self.requests)",
            lambda self: self.burst is None or self.requests is not None,
        ),
    )


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
    config: dict[str, Any] = Field(
        default_factory=dict, description="The policy's settings; its model depends on the type."
    )
    enabled: bool = Field(
        default=True,
        description="false switches this type off here, whatever a wider scope says.",
    )
    merge_strategy: Literal["Replace", "Append"] = Field(
        default="Replace",
        description="Append continues the next wider policy of the type: lists grow, "
        "values that are not set here are taken over.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "give exactly one of name and type",
            "has(self.name) != has(self.type)",
            lambda self: how_many(self.name, self.type) == 1,
        ),
        Rule(
            "config",
            "config goes with type; a named Plugin has its own",
            "!has(self.config) || has(self.type)",
            lambda self: "config" not in self.model_fields_set or self.type is not None,
        ),
    )


class RouteSpec(Model):
    """The specification of a Route."""

    enabled: bool = True
    gateways: Annotated[tuple[ObjectName, ...], Field(max_length=16)] = Field(
        default=(), description="GatewayConfigs that serve the route; empty means all of them."
    )
    listeners: Annotated[tuple[ObjectName, ...], Field(max_length=64)] = Field(
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
    sticky: Sticky | None = Field(
        default=None, description="With several backends: a client stays with the one it came to."
    )
    mirror: Mirror | None = None
    mirrors: Annotated[tuple[Mirror, ...], Field(max_length=8)] = Field(
        default=(), description="Further copies, each to a backend of its own."
    )
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
    workspace: Annotated[str, StringConstraints(max_length=128)] | None = None
    description: Text = ""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "backends",
            "all weights are 0, so no request could go anywhere; give one of them a weight",
            "!has(self.backends) || self.backends.size() == 0 "
            "|| self.backends.exists(b, b.weight > 0)",
            lambda self: not self.backends or any(each.weight for each in self.backends),
        ),
        Rule(
            "rewrite.path.type",
            "ReplacePrefix needs matches of type Prefix or Exact; use ReplaceFull or Regex",
            "!has(self.rewrite) || !has(self.rewrite.path) "
            "|| self.rewrite.path.type != 'ReplacePrefix' || !has(self.matches) "
            "|| self.matches.all(m, !has(m.path) || m.path.type in ['Prefix', 'Exact'])",
            lambda self: (
                self.rewrite is None
                or self.rewrite.path is None
                or self.rewrite.path.type != "ReplacePrefix"
                or all(match.path.type in ("Prefix", "Exact") for match in self.matches)
            ),
        ),
    )


class Route(Resource):
    """Which requests go to which backends, and under which policies."""

    plural: ClassVar[str] = "routes"
    short_names: ClassVar[tuple[str, ...]] = ("fgr",)
    columns: ClassVar[tuple[PrinterColumn, ...]] = (
        PrinterColumn("Hosts", ".spec.hosts"),
        PrinterColumn("Path", ".spec.matches[*].path.value"),
        PrinterColumn("Enabled", ".spec.enabled", "boolean", 1),
        PrinterColumn("Tenant", ".spec.tenant", "string", 1),
    )
    kind: Literal["Route"] = "Route"
    spec: RouteSpec
