"""``rate-limit``: how many requests may come, by whom they are counted, and who counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.base import Duration, HeaderName, ObjectName
from fluxgate.api.v1alpha1.route import RouteRateLimit
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.api.v1alpha1.windows import EXACT_WINDOWS, EXACT_WINDOWS_TEXT, is_exact_window
from fluxgate.ir.policies.rate_limit import CountedBy, LimitBucket, Slot
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Limit, Policies, PolicyType
from fluxgate.translator.plugins.limits import Counted, add_limits
from fluxgate.translator.plugins.rejected_code import RejectedCode

_BY = {
    "Key": CountedBy.KEY,
    "Tenant": CountedBy.TENANT,
    "IP": CountedBy.ADDRESS,
    "Header": CountedBy.HEADER,
    "Route": CountedBy.ROUTE,
}


class OneLimit(Model):
    """One limit: a plan of the gateway, or numbers in place."""

    plan: ObjectName | None = Field(default=None, description="A plan of the GatewayConfig.")
    requests: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        default=None, description="So many requests a window, instead of a plan."
    )
    window: Duration = "1m"
    burst: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        default=None,
        description="Requests that may come at once, with policy Local; as many as requests when "
        "absent.",
    )
    by: Literal["Key", "Tenant", "IP", "Header", "Route"] = Field(
        default="Key",
        description="Whose requests share a count: one key (or subject of another credential), "
        "one tenant, one address (of IPv6 the first 64 bits), one value of a header, or all of "
        "the route. Who has none of the first three is counted by address.",
    )
    header: HeaderName | None = Field(
        default=None,
        description="For by Header. Choose one that clients cannot make up, or they choose their "
        "count.",
    )
    policy: Literal["Local", "Redis"] = Field(
        default="Local",
        description="Local: a token bucket in every Envoy by itself. Redis: all replicas "
        "together, exactly, in fixed windows; needs spec.rateLimitService of the GatewayConfig.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "burst",
            "burst goes with requests; a plan has its own",
            "!has(self.burst) || has(self.requests)",
            lambda self: self.burst is None or self.requests is not None,
        ),
        Rule(
            "burst",
            "policy Redis counts in fixed windows, which know no burst",
            "!has(self.burst) || self.policy != 'Redis'",
            lambda self: self.burst is None or self.policy != "Redis",
        ),
        Rule(
            "header",
            "header goes with by Header, and by Header needs one",
            "has(self.header) == (self.by == 'Header')",
            lambda self: (self.header is not None) == (self.by == "Header"),
        ),
        Rule(
            "window",
            f"policy Redis counts windows of {EXACT_WINDOWS_TEXT}",
            "self.policy != 'Redis' || has(self.plan) || duration(self.window).getSeconds() in "
            f"{list(EXACT_WINDOWS)}",
            lambda self: (
                self.policy != "Redis" or self.plan is not None or is_exact_window(self.window)
            ),
        ),
        Rule(
            "",
            "give at most one of plan and requests",
            "!(has(self.plan) && has(self.requests))",
            lambda self: how_many(self.plan, self.requests) < 2,
        ),
    )


class FurtherLimit(OneLimit):
    """A limit that has to hold besides the others."""

    rules: ClassVar[tuple[Rule, ...]] = (
        *OneLimit.rules,
        Rule(
            "",
            "give exactly one of plan and requests",
            "has(self.plan) || has(self.requests)",
            lambda self: how_many(self.plan, self.requests) > 0,
        ),
    )


class RateLimitConfig(OneLimit):
    """The config of ``rate-limit``: one limit, or several that all have to hold."""

    limits: Annotated[tuple[FurtherLimit, ...], Field(max_length=8)] = Field(
        default=(), description="Further limits; every one of them has to hold."
    )
    rejected_code: RejectedCode = 429

    rules: ClassVar[tuple[Rule, ...]] = (
        *OneLimit.rules,
        Rule(
            "",
            "give plan, requests or limits",
            "has(self.plan) || has(self.requests) || (has(self.limits) && self.limits.size() > 0)",
            lambda self: how_many(self.plan, self.requests) > 0 or len(self.limits) > 0,
        ),
    )


def limit_of(config: RouteRateLimit | OneLimit, name: str) -> Limit:
    """The limit that ``config`` says; ``name`` names its bucket when it has numbers of its own."""
    if config.requests is None:
        return Limit(plan=config.plan)
    window = max(duration_ms(config.window), 1)
    return Limit(None, config.requests, window, config.burst or config.requests, name)


def _apply(policies: Policies, config: RateLimitConfig, context: Context) -> Policies:
    first: tuple[OneLimit, ...] = () if how_many(config.plan, config.requests) == 0 else (config,)
    counted: list[Counted] = []
    for index, each in enumerate((*first, *config.limits)):
        number = index - len(first)
        path = "config" if number < 0 else f"config.limits[{number}]"
        name = context.name if index == 0 else f"{context.name}/{index}"
        if each.by == "Key" and each.policy == "Local" and policies.limit is None:
            # the bucket that every key has anyway: it takes the place of that of the key's plan
            policies = replace(policies, limit=limit_of(each, name))
            continue
        counted.append(_counted(each, name, path, context))
    return add_limits(policies, counted, config.rejected_code, context)


def _counted(config: OneLimit, name: str, path: str, context: Context) -> Counted:
    exact, origin = config.policy == "Redis", context.owner
    if config.plan is not None:
        if config.plan not in context.scope.plans:
            known = ", ".join(sorted(context.scope.plans)) or "none"
            raise PolicyError(
                f"{path}.plan",
                f"there is no plan {config.plan!r} on {context.scope.ref}; known: {known}",
            )
        if exact and config.plan not in context.scope.exact_plans:
            raise PolicyError(
                f"{path}.plan",
                f"policy Redis counts windows of {EXACT_WINDOWS_TEXT}; the window of the plan "
                f"{config.plan!r} is another",
            )
        name, origin = f"plan/{config.plan}", context.scope.ref
    by = _BY[config.by]
    if by is CountedBy.ROUTE:
        name = f"{name}@{context.ref.namespace}/{context.ref.name}"
    slot = Slot(by, (config.header or "").lower())
    bucket = LimitBucket(
        name=name,
        origin=origin,
        slot=slot,
        exact=exact,
        plan=config.plan or "",
        requests=config.requests or 0,
        window_ms=max(duration_ms(config.window), 1),
        burst=config.burst or config.requests or 0,
    )
    return Counted(bucket, path)


POLICY = PolicyType(
    "rate-limit",
    RateLimitConfig,
    _apply,
    summary="Limits how many requests may come: by key, tenant, address, header value or route, "
    "counted in every Envoy or exactly across all of them.",
    example="""\
requests: 100
window: 1m
burst: 20
limits:
  - {requests: 10000, window: 1h, by: Tenant, policy: Redis}
  - {requests: 50, window: 1s, by: Route}
rejectedCode: 429
""",
    errors=(
        (429, "a limit is used up (or `rejectedCode`); `retry-after` says in how many seconds"),
        (503, "the rate limit service does not answer and `failureMode` is Closed"),
    ),
)
