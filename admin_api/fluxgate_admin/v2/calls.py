"""What every operation is given: who calls, and how a write is to be made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from pydantic import BeforeValidator, Field, StringConstraints
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from fluxgate_admin.errors import InvalidRequestError
from fluxgate_admin.http.authentication import Asks, Require
from fluxgate_admin.http.context import RequestContext, context_of
from fluxgate_admin.http.etags import read_if_match
from fluxgate_admin.http.idempotency import Idempotency
from fluxgate_admin.principal import Principal
from fluxgate_admin.settings import AdminSettings
from fluxgate_admin.use_cases.assembly import UseCases
from fluxgate_admin.use_cases.drafts import WriteOptions

LONGEST_WAIT = 600.0
_LISTS = ("label",)


def _only_words(value: object) -> object:
    if value in ("true", "false", True, False):
        return value
    raise ValueError("write true or false")


Flag = Annotated[bool, BeforeValidator(_only_words)]


@dataclass(frozen=True, slots=True)
class Call:
    """A request of somebody who may make it."""

    principal: Principal
    request: Request
    api: UseCases

    @property
    def context(self) -> RequestContext:
        """What audit is told."""
        return context_of(self.request)


@dataclass(frozen=True, slots=True)
class WriteCall(Call):
    """A request that changes something, made at most once where it has an idempotency key."""

    options: WriteOptions
    idempotency_key: str | None

    def forced(self, *, force: bool) -> WriteOptions:
        """The options, with the wish to go on although others use the object."""
        return replace(self.options, force=force)

    async def answer(self, perform: Callable[[], Awaitable[Response]]) -> Response:
        """The answer of ``perform``, or the one the same request got before."""
        if self.idempotency_key is None or self.options.dry_run:
            return await perform()
        idempotency: Idempotency = self.request.app.state.idempotency
        return await idempotency.once(self.principal, self.idempotency_key, self.request, perform)


def reading(scope: str, asks: Asks | None = None) -> Any:  # noqa: ANN401 - what FastAPI takes for a parameter's default
    """A dependency that gives a :class:`Call`. ``asks`` says which scopes it looks at, if not ``scope`` alone."""
    allowed = Depends(Require(scope, asks))

    async def call(request: Request, principal: Principal = allowed) -> Call:
        refuse_unknown_parameters(request)
        return Call(principal, request, use_cases(request))

    return Depends(call)


def writing(scope: str, asks: Asks | None = None) -> Any:  # noqa: ANN401 - what FastAPI takes for a parameter's default
    """A dependency that gives a :class:`WriteCall`; as :func:`reading`."""
    allowed = Depends(Require(scope, asks))

    async def call(
        request: Request,
        principal: Principal = allowed,
        dry_run: DryRun = False,
        wait: Wait = "all",
        wait_seconds: Timeout = None,
        reason: Reason = "",
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
    ) -> WriteCall:
        refuse_unknown_parameters(request)
        settings: AdminSettings = request.app.state.deps.settings
        options = WriteOptions(
            request_id=context_of(request).id,
            seconds=min(
                settings.wait if wait_seconds is None else wait_seconds, settings.wait_limit
            ),
            reason=reason,
            if_match=read_if_match(if_match),
            dry_run=dry_run,
            wait=wait == "all",
            repeatable=idempotency_key is not None,
        )
        return WriteCall(principal, request, use_cases(request), options, idempotency_key)

    return Depends(call)


DryRun = Annotated[
    Flag, Query(description="Check the change, show what it would do, and store nothing.")
]
Wait = Annotated[
    Literal["all", "none"],
    Query(description="`all` answers when every node serves the change, or after `timeout`."),
]
Timeout = Annotated[
    Annotated[float, Field(ge=0, le=LONGEST_WAIT)] | SkipJsonSchema[None],
    Query(alias="timeout", description="Seconds to wait; the server has a limit of its own."),
]
Reason = Annotated[
    str,
    Query(
        max_length=256,
        pattern=r"^[^\x00-\x1f\x7f]*$",
        description="Why, for the history.",
        examples=["ticket 4711"],
    ),
]
Etags = Annotated[str, StringConstraints(max_length=4096)]
IfMatch = Annotated[
    Etags | SkipJsonSchema[None],
    Header(
        description="Only if the object is still this version: its ETag, or `*` for any.",
        examples=["*"],
    ),
]
IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | SkipJsonSchema[None],
    Header(description="The same key with the same request makes the change once, for a day."),
]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
After = Annotated[
    Annotated[str, StringConstraints(max_length=1024)] | SkipJsonSchema[None],
    Query(description="Where the page begins: `after` of the page before."),
]
Force = Annotated[Flag, Query(description="Also when others use it; they are then served without.")]
NamespaceQuery = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    | SkipJsonSchema[None],
    Query(description="Only of this namespace."),
]
Labels = Annotated[
    Annotated[list[Annotated[str, Field(max_length=400)]], Field(max_length=16)]
    | SkipJsonSchema[None],
    Query(
        alias="label",
        description="`key=value`, or `key` alone for any value; several have to hold together.",
    ),
]


def use_cases(request: Request) -> UseCases:
    """What the application can do."""
    found: UseCases = request.app.state.use_cases
    return found


def refuse_unknown_parameters(request: Request) -> None:
    """A mistyped parameter would be a wish that nobody hears. Raises ``InvalidRequestError``."""
    known = {
        each.alias
        for each in get_flat_params(request.scope["route"].dependant)
        if getattr(each.field_info, "in_", None) is ParamTypes.query
    }
    for name in request.query_params:
        if name not in known:
            raise InvalidRequestError(
                f"{name}: unknown parameter; known here: {', '.join(sorted(known)) or 'none'}",
                details={"problems": [_parameter(name, "unknown parameter")]},
            )
        if name not in _LISTS and len(request.query_params.getlist(name)) > 1:
            raise InvalidRequestError(
                f"{name}: given more than once",
                details={"problems": [_parameter(name, "given more than once")]},
            )


def _parameter(name: str, message: str) -> dict[str, str]:
    return {"parameter": name, "in": "query", "message": message}


def read_labels(labels: list[str] | None) -> dict[str, str]:
    """The labels of ``?label=``, an empty value for any."""
    found: dict[str, str] = {}
    for each in labels or ():
        key, _, value = each.partition("=")
        found[key] = value
    return found
