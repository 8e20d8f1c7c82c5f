"""What goes over the control socket. Times are seconds since the epoch."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """Base of the shapes: frozen, and closed so that a mistyped field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ConditionView(Shape):
    """One condition, as on a Kubernetes object."""

    type: str
    status: bool
    reason: str
    message: str = ""


class ObjectView(Shape):
    """One object, where it stands, and its conditions."""

    kind: str
    namespace: str
    name: str
    file: str = ""
    line: int = 0
    conditions: tuple[ConditionView, ...] = ()


class ProblemView(Shape):
    """Something wrong with a file. ``line`` and ``column`` count from one; 0 is the whole file."""

    file: str
    line: int
    column: int
    subject: str
    message: str


class NodeView(Shape):
    """One Envoy: which snapshot it has acknowledged, and what it rejected.

    ``lag`` says why it does not serve the newest configuration, empty when it does.
    ``version`` is Envoy's own.
    """

    id: str
    gateway: str
    connected: bool
    snapshot: str
    serves_newest: bool
    version: str = ""
    lag: str = ""
    rejections: tuple[str, ...] = ()


class GatewayView(Shape):
    """One fleet: its addresses by listener, its process, and whether it serves the newest revision."""

    name: str
    addresses: tuple[str, ...]
    snapshot: str
    served: bool
    envoy_pid: int | None = None
    envoy_state: str = ""
    envoy_restarts: int = 0


class StatusView(Shape):
    """A running instance at one moment.

    ``revision`` counts changes of the resources; ``failure`` is a bug that keeps the last good
    configuration in force, empty in good order.
    """

    version: str
    pid: int
    started_at: float
    config: str
    revision: int
    served: bool
    failure: str = ""
    gateways: tuple[GatewayView, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    objects: tuple[ObjectView, ...] = ()
    problems: tuple[ProblemView, ...] = ()


class TargetView(Shape):
    """One target of a pool.

    ``nodes`` send it no requests, for ``reasons``: ``CheckFailed`` (active checks), ``Ejected``
    (outlier detection), ``ByHand``.
    """

    address: str
    health: str
    reasons: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()


class PoolView(Shape):
    """One pool of targets, by its name: ``upstream/<namespace>/<name>`` for an Upstream's.

    ``nodes`` is how many Envoys say how the targets are; ``checked`` whether anything is asked.
    """

    gateway: str
    pool: str
    object: str
    checked: bool
    nodes: int
    targets: tuple[TargetView, ...] = ()


class UpstreamsView(Shape):
    """Every pool that some route sends to."""

    pools: tuple[PoolView, ...] = ()


class WaitRequest(Shape):
    """Wait until what the folder says now is served by every node."""

    timeout: Annotated[float, Field(ge=0, le=3600, description="Seconds.")] = 30.0


class WaitReply(Shape):
    """Whether it came to that, after how many seconds, and else which nodes are missing."""

    served: bool
    revision: int
    seconds: float
    missing: tuple[str, ...] = ()
    status: StatusView


class ExplainRequest(Shape):
    """A request that is not sent."""

    method: Annotated[str, Field(pattern=r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}$")]
    url: Annotated[str, Field(max_length=65536)]
    headers: tuple[tuple[str, str], ...] = ()


class CandidateView(Shape):
    """A route that was tried before the one taken, and the first condition that failed."""

    route: str
    object: str
    condition: str
    reason: str


class PolicyView(Shape):
    """One policy in force on a route, and the object that decides it.

    ``appended_to`` are the objects of wider scopes that it continues.
    """

    type: str
    object: str
    appended_to: tuple[str, ...] = ()


class ExplainReply(Shape):
    """The way of one request: listener, virtual host, the routes that lost, the one that takes it.

    ``route`` and ``object`` are empty when nothing matches; ``reason`` then says why.
    ``policies`` says what holds on the route, ``chain`` which objects say so, in Envoy's order.
    """

    gateway: str
    listener: str
    method: str
    host: str
    path: str
    query: str
    credential: str
    virtual_host: str
    virtual_host_reason: str
    route: str
    object: str
    reason: str
    action: str = ""
    policies: tuple[str, ...] = ()
    chain: tuple[PolicyView, ...] = ()
    tried: tuple[CandidateView, ...] = ()


class ErrorReply(Shape):
    """A refused request: ``error`` is a stable word, ``message`` is for people."""

    error: str
    message: str
