"""The shape of a route in bodies: what the document names by hand, everything else as the kind has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, StringConstraints, create_model

from fluxgate.api.v1alpha1 import RouteSpec
from fluxgate.api.v1alpha1.base import HeaderName, Hostname, Line, ObjectName, Port, Weight
from fluxgate.api.v1alpha1.matching import CookieMatch, HeaderMatch, PathMatch, QueryParamMatch
from fluxgate.api.v1alpha1.policy import CircuitBreaker, Method, Retry, Timeouts
from fluxgate_admin.v2.spelling import STRICT, patch_model

Namespace = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
]
LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
        max_length=317,
    ),
]
LabelValue = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)
]
Labels = Annotated[dict[LabelKey, LabelValue], Field(max_length=64)]

Duration = Annotated[
    str,
    StringConstraints(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$", max_length=30),
    Field(description="Such as 500ms, 30s or 1m30s.", examples=["30s"]),
]

if TYPE_CHECKING:
    PathBody: TypeAlias = dict[str, Any]
    HeaderBody: TypeAlias = dict[str, Any]
    QueryBody: TypeAlias = dict[str, Any]
    CookieBody: TypeAlias = dict[str, Any]
    TimeoutsBody: TypeAlias = dict[str, Any]
    RetriesBody: TypeAlias = dict[str, Any]
    CircuitBreakerBody: TypeAlias = dict[str, Any]
else:
    PathBody = patch_model(PathMatch)
    HeaderBody = patch_model(HeaderMatch)
    QueryBody = patch_model(QueryParamMatch)
    CookieBody = patch_model(CookieMatch)
    TimeoutsBody = patch_model(Timeouts)
    RetriesBody = patch_model(Retry)
    CircuitBreakerBody = patch_model(CircuitBreaker)

PATH_WORDS = (
    "`/a/*` takes `/a` and everything below it; without a star the whole path has to be equal; "
    "`{name}` stands for one segment, `{name=**}` at the end for the rest."
)


class MatchBody(BaseModel):
    """Which requests a route takes: all that is given has to hold."""

    model_config = STRICT

    path: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | PathBody | None = (
        Field(default=None, description=PATH_WORDS, examples=["/api/v2/payments/*"])
    )
    methods: Annotated[list[Method], Field(max_length=9)] | None = Field(
        default=None, description="Empty means any.", examples=[["POST", "GET"]]
    )
    hosts: Annotated[list[Hostname], Field(max_length=64)] | None = Field(
        default=None, description="Of the whole route; empty means any.", examples=[["example.com"]]
    )
    headers: (
        Annotated[dict[HeaderName, Line], Field(max_length=16)]
        | Annotated[list[HeaderBody], Field(max_length=16)]
        | None
    ) = Field(
        default=None, description="Values by name, or a list with other comparisons than equality."
    )
    query_params: (
        Annotated[dict[str, Line], Field(max_length=16)]
        | Annotated[list[QueryBody], Field(max_length=16)]
        | None
    ) = Field(default=None, description="As headers.")
    cookies: Annotated[list[CookieBody], Field(max_length=16)] | None = None
    credential: Literal["ApiKey", "JWT", "None"] | None = Field(
        default=None, description="Only requests that present this class of credential."
    )


class TargetBody(BaseModel):
    """Where a share of the requests goes: a URL, or an object by name."""

    model_config = STRICT

    url: Annotated[str, StringConstraints(max_length=320)] | None = Field(
        default=None, examples=["https://pay-1.example.com:8443"]
    )
    kind: Literal["Backend", "Upstream", "Service"] | None = Field(
        default=None, description="Of a name; Backend when absent."
    )
    name: ObjectName | None = None
    port: Port | None = Field(default=None, description="The port of a Service.")
    weight: Weight | None = None


class PluginUseBody(BaseModel):
    """A policy on this route alone, or a Plugin that several routes share."""

    model_config = STRICT

    id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][-a-z0-9_.]*$", max_length=253)] = (
        Field(
            description="A type (`jwt_auth`, `jwt-auth`), the id of a Plugin (`pl_…`), or its name.",
            examples=["jwt_auth"],
        )
    )
    config: dict[str, Any] | None = Field(
        default=None,
        description="The settings of the type, in camelCase as its page has them, or in snake_case.",
        examples=[{"issuer": "https://auth.example.com"}],
    )
    enabled: bool | None = Field(
        default=None, description="false switches the type off here, whatever wider scopes say."
    )
    merge_strategy: Literal["Replace", "Append"] | None = None


_BY_HAND = ("matches", "hosts", "backends", "timeouts", "retry", "circuit_breaker", "plugins")


class RouteFields(BaseModel):
    """What the document names of a route."""

    model_config = STRICT

    match: MatchBody | Annotated[list[MatchBody], Field(min_length=1, max_length=64)] | None = (
        Field(default=None, description="A list when one of several has to hold.")
    )
    upstream: (
        Annotated[str, StringConstraints(max_length=320)]
        | TargetBody
        | Annotated[list[TargetBody], Field(max_length=32)]
        | None
    ) = Field(
        default=None,
        description="A URL, an object, or several that share the requests by weight.",
        examples=["https://pay.example.com:8443"],
    )
    plugins: Annotated[list[PluginUseBody], Field(max_length=64)] | None = None
    timeout: Duration | TimeoutsBody | None = Field(
        default=None, description="Of a whole request; an object also says when a stream is idle."
    )
    retries: Annotated[int, Field(ge=0, le=10)] | RetriesBody | None = Field(
        default=None, description="How many, or an object that also says when and how."
    )
    circuit_breaker: CircuitBreakerBody | None = None
    labels: Labels | None = None


def _rest() -> dict[str, Any]:
    """The fields of a Route's spec that the document does not name, as the kind has them."""
    fields = patch_model(RouteSpec).model_fields
    return {name: (info.annotation, info) for name, info in fields.items() if name not in _BY_HAND}


if TYPE_CHECKING:

    class RouteChanges(RouteFields):
        """What changes of a route (PATCH)."""

    class RouteBody(RouteFields):
        """A whole route (POST, PUT)."""

        name: str
        namespace: str | None

else:
    RouteChanges = create_model(
        "RouteChanges",
        __base__=RouteFields,
        __doc__="What changes of a route: objects merge, lists are replaced, null takes away.",
        **_rest(),
    )
    RouteBody = create_model(
        "RouteBody",
        __base__=RouteFields,
        __doc__="A whole route.",
        name=(ObjectName, Field(examples=["payments-service-v2"])),
        namespace=(
            Namespace | None,
            Field(
                default=None,
                description="Where it is kept; the caller's own, or the server's default, when absent.",
            ),
        ),
        match=(
            MatchBody | Annotated[list[MatchBody], Field(min_length=1, max_length=64)],
            Field(description="A list when one of several has to hold."),
        ),
        **_rest(),
    )
