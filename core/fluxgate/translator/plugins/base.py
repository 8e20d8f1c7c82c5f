"""What a type of policy is: a model of its config, and how it changes a route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.policy import Cors
from fluxgate.api.v1alpha1.route import RouteAuth


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit: a plan of the gateway by name, or numbers of its own under ``bucket``'s name."""

    plan: str | None = None
    requests: int = 0
    window_ms: int = 60_000
    burst: int = 0
    bucket: str = ""


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of one route, as far as they are known."""

    auth: RouteAuth | None = None
    cors: Cors | None = None
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class PolicyType:
    """One type. ``apply`` gets the policies so far, the config, and a name for what it makes.

    ``harmless_without`` tells that a route is no less protected when this policy
    is broken and left out; every other broken policy closes the route.
    """

    name: str
    config: type[Model]
    apply: Callable[[Policies, Any, str], Policies]
    harmless_without: bool = False
