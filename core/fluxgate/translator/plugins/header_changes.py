"""Changes of headers as configs say them, and the headers that no config may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import HeaderName
from fluxgate.ir.policies.transform import Change, HeaderChange, Source
from fluxgate.translator.plugins.templates import (
    OF_REQUEST,
    OF_RESPONSE,
    REQUEST_VALUES,
    RESPONSE_VALUES,
    RequestTemplate,
    ResponseTemplate,
    parse_template,
)
from fluxgate.xds import names

_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_OWN = frozenset({"grpc-status", "x-request-id"})
_OWN_PREFIXES = ("x-envoy-", "x-fluxgate-")


def _changeable(name: str) -> str:
    lower = name.lower()
    if lower in names.IDENTITY_HEADERS:
        raise ValueError(
            f"{lower} says who is calling, which only the gateway may say; choose another name"
        )
    if lower in _FRAMING:
        raise ValueError(f"{lower} belongs to the connection or to the framing of the message")
    if lower in _OWN or lower.startswith(_OWN_PREFIXES):
        raise ValueError(f"{lower} belongs to the gateway")
    return lower


ChangedHeader = Annotated[HeaderName, AfterValidator(_changeable)]
"""A header that a policy may set or remove, in lower case."""

RenamedHeader = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$", max_length=256),
    AfterValidator(_changeable),
]

SetHeaders = Annotated[dict[ChangedHeader, RequestTemplate], Field(max_length=64)]
SetResponseHeaders = Annotated[dict[ChangedHeader, ResponseTemplate], Field(max_length=64)]
RemovedHeaders = Annotated[tuple[ChangedHeader, ...], Field(max_length=64)]
RenamedHeaders = Annotated[dict[RenamedHeader, RenamedHeader], Field(max_length=64)]


class HeaderChanges(Model):
    """Changes of headers: set, add, rename, remove, in this order. Names in any case."""

    set: SetHeaders = Field(
        default_factory=dict,
        description="Replace a header, or add it when it is absent; none where the value comes out "
        f"empty. {REQUEST_VALUES}",
    )
    add: SetHeaders = Field(
        default_factory=dict, description="Add one more value, beside those there are."
    )
    rename: RenamedHeaders = Field(
        default_factory=dict,
        description="Old name to new name; several values become one, with commas.",
    )
    remove: RemovedHeaders = Field(default=(), description="Names.")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        check_once(self.set, self.rename, self.remove)
        return self


class ResponseHeaderChanges(HeaderChanges):
    """Changes of headers: set, add, rename, remove, in this order. Names in any case."""

    set: SetResponseHeaders = Field(
        default_factory=dict,
        description="Replace a header, or add it when it is absent; none where the value comes out "
        f"empty. {RESPONSE_VALUES}",
    )
    add: SetResponseHeaders = Field(
        default_factory=dict, description="Add one more value, beside those there are."
    )


def check_once(
    changed: Mapping[str, object], renamed: Mapping[str, str], removed: tuple[str, ...]
) -> None:
    """Refuse a name of which two changes are asked, because the one would undo the other."""
    targets = list(renamed.values())
    counted = Counter([*changed, *renamed, *set(removed)])
    counted.update(target for target in targets if target not in renamed)
    twice = sorted(name for name, count in counted.items() if count > 1)
    if twice:
        text = f"{', '.join(twice)}: set, renamed and removed exclude each other; choose one"
        raise PydanticCustomError("rules", "{text}", {"text": text, "problems": (("", text),)})


def header_changes(config: HeaderChanges) -> tuple[HeaderChange, ...]:
    """What ``config`` says, in the order in which it happens; maps by name, as an API server gives them."""
    known = OF_RESPONSE if isinstance(config, ResponseHeaderChanges) else OF_REQUEST
    return tuple(_changes(config, known))


def _changes(config: HeaderChanges, known: frozenset[Source]) -> Iterator[HeaderChange]:
    for name, text in sorted(config.set.items()):
        yield HeaderChange(Change.SET, name, parse_template(text, known))
    for name, text in sorted(config.add.items()):
        yield HeaderChange(Change.ADD, name, parse_template(text, known))
    for name, target in sorted(config.rename.items()):
        yield HeaderChange(Change.RENAME, name, to=target)
    for name in config.remove:
        yield HeaderChange(Change.REMOVE, name)
