"""``quota``: how much a tenant may use in longer windows, on the routes it is attached to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from fluxgate.api.v1alpha1 import Model, duration_ms
from fluxgate.api.v1alpha1.rules import Rule, unique_by
from fluxgate.api.v1alpha1.tenant import Quota
from fluxgate.ir.policies.rate_limit import CountedBy, LimitBucket, Slot
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.limits import Counted, add_limits
from fluxgate.translator.plugins.rejected_code import RejectedCode

_BY = {"Tenant": CountedBy.TENANT, "Key": CountedBy.KEY}


class QuotaConfig(Model):
    """The config of ``quota``. All routes of one Plugin use up the same quotas."""

    quotas: Annotated[tuple[Quota, ...], Field(min_length=1, max_length=8)]
    by: Literal["Tenant", "Key"] = Field(
        default="Tenant", description="Whose requests share a count; who has none: by address."
    )
    rejected_code: RejectedCode = 429

    rules: ClassVar[tuple[Rule, ...]] = (
        unique_by("quotas", "two quotas have the same name", "name"),
    )


def _apply(policies: Policies, config: QuotaConfig, context: Context) -> Policies:
    counted = [
        Counted(
            LimitBucket(
                name=f"{context.name}/{quota.name}",
                origin=context.owner,
                slot=Slot(_BY[config.by]),
                exact=quota.policy == "Redis",
                requests=quota.limit,
                window_ms=max(duration_ms(quota.window), 1),
                burst=quota.limit,
            ),
            f"config.quotas[{index}]",
        )
        for index, quota in enumerate(config.quotas)
    ]
    return add_limits(policies, counted, config.rejected_code, context)


POLICY = PolicyType(
    "quota",
    QuotaConfig,
    _apply,
    summary="Limits how much every tenant may use in longer windows. With policy Local every "
    "Envoy counts by itself and forgets when it restarts; Redis counts exactly and remembers.",
    example="""\
quotas:
  - {name: daily, limit: 100000, window: 24h, policy: Redis}
  - {name: monthly, limit: 2000000, window: 720h, policy: Redis}
""",
    errors=(
        (429, "a quota is used up (or `rejectedCode`); `retry-after` says in how many seconds"),
        (503, "the rate limit service does not answer and `failureMode` is Closed"),
    ),
)
