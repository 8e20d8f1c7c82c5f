"""How Envoys find the targets of pools: asked of each, put together, shown and written down."""

from fluxgate_operator.health.book import HealthBook
from fluxgate_operator.health.readings import Ailment
from fluxgate_operator.health.sources import by_admin, by_listener
from fluxgate_operator.health.statuses import HealthStatuses
from fluxgate_operator.health.summary import PoolHealth, TargetHealth, TargetState, pools_of
from fluxgate_operator.health.watcher import HealthWatcher

__all__ = [
    "Ailment",
    "HealthBook",
    "HealthStatuses",
    "HealthWatcher",
    "PoolHealth",
    "TargetHealth",
    "TargetState",
    "by_admin",
    "by_listener",
    "pools_of",
]
