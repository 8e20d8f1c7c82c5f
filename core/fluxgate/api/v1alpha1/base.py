"""What every kind shares: the model base, metadata, and the scalar types.

The models are the single definition of the kinds: CRD schemas, documentation
and validation are generated from them. They know nothing about Envoy.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from fluxgate.api.v1alpha1.patterns import LINE_PATTERN, MAX_REGEX_LENGTH, check_regex
from fluxgate.api.v1alpha1.rules import Rule

GROUP = "gateway.fluxgate.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Model(BaseModel):
    """Frozen, closed, camelCase on the wire and snake_case in Python.

    ``rules`` are checked after the fields; all that fail are reported together,
    as one error of type ``rules`` whose context lists (field, message).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        failed = tuple((each.field, each.message) for each in self.rules if not each.holds(self))
        if failed:
            text = "; ".join(message for _, message in failed)
            raise PydanticCustomError("rules", "{text}", {"text": text, "problems": failed})
        return self


class ObjectMeta(BaseModel):
    """The part of Kubernetes' ObjectMeta that FluxGate reads.

    Unlike specs, metadata tolerates unknown fields: API servers and tools add
    their own (``managedFields``, ``ownerReferences``).
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
    )

    name: Annotated[
        str,
        StringConstraints(
            pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            max_length=253,
        ),
    ]
    namespace: Annotated[
        str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)
    ] = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: str = ""
    deletion_timestamp: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PrinterColumn:
    """One column of ``kubectl get``; ``priority`` 1 shows it only with ``-o wide``."""

    name: str
    json_path: str
    type: Literal["string", "integer", "boolean", "date"] = "string"
    priority: int = 0


class Resource(Model):
    """Base of the kinds. Subclasses narrow ``kind`` and ``spec``.

    ``status`` is accepted and kept out of comparisons: it is ours to write, not
    the user's to say.
    """

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[PrinterColumn, ...]] = ()

    api_version: Literal["gateway.fluxgate.io/v1alpha1"] = API_VERSION  # type: ignore[assignment]
    kind: str
    metadata: ObjectMeta
    status: dict[str, Any] | None = None


_DURATION = re.compile(r"^(?:(\d{1,5})h)?(?:(\d{1,5})m)?(?:(\d{1,5})s)?(?:(\d{1,5})ms)?$")
DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"


def duration_ms(text: str) -> int:
    """Milliseconds of a Gateway API duration such as ``1m30s`` or ``500ms`` (GEP-2257).

    Raises ``ValueError`` when the text is not one.
    """
    match = _DURATION.match(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration; write for example 500ms, 30s or 1m30s")
    hours, minutes, seconds, millis = (int(group or 0) for group in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + millis


def _check_duration(text: str) -> str:
    duration_ms(text)
    return text


def _check_cidr(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise ValueError(
            f"{text!r} is not a CIDR block; write for example 10.0.0.0/8 or 2001:db8::/32"
        ) from None


def _check_url(text: str) -> str:
    host, port = split_url(text)[1:]
    if not 1 <= port <= 65535:
        raise ValueError(f"{text!r}: the port must be between 1 and 65535")
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise ValueError(f"{text!r}: {host!r} is not an IPv6 address") from None
    return text


def split_url(url: str) -> tuple[str, str, int]:
    """Scheme, host (lower case, without brackets) and port of an :data:`HttpUrl`."""
    scheme, _, rest = url.partition("://")
    authority = rest.rstrip("/")
    host, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = authority, "443" if scheme == "https" else "80"
    return scheme, host.strip("[]").lower(), int(port)


Regex = Annotated[
    str,
    StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=MAX_REGEX_LENGTH),
    AfterValidator(check_regex),
]
"""A regular expression in RE2's syntax, matched against the whole value."""

Duration = Annotated[
    str,
    StringConstraints(pattern=DURATION_PATTERN, max_length=30),
    AfterValidator(_check_duration),
]
"""A length of time in Gateway API notation; convert with :func:`duration_ms`."""

Cidr = Annotated[str, StringConstraints(min_length=2, max_length=49), AfterValidator(_check_cidr)]

ObjectName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        min_length=1,
        max_length=253,
    ),
]

Hostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*|(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)$",
        min_length=1,
        max_length=253,
    ),
]
"""A host as in the Gateway API: exact, ``*.suffix`` or ``*``; lower case, without a port."""

ExactHostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        min_length=1,
        max_length=253,
    ),
]
"""A host without wildcards."""

HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+\-.^`|~]+$", min_length=1, max_length=256)
]
"""A field name of RFC 9110 section 5.1, without the underscore (dropped at the listener)."""

HttpUrl = Annotated[
    str,
    StringConstraints(
        pattern=(
            r"^https?://([A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?"
            r"|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$"
        ),
        max_length=320,
    ),
    AfterValidator(_check_url),
]
"""Scheme, host and port of an upstream; a path goes into ``rewrite``, a user into headers."""

AbsolutePath = Annotated[
    str, StringConstraints(pattern=r"^/[^\x00-\x1f\x7f]*$", min_length=1, max_length=1024)
]
Text = Annotated[str, StringConstraints(max_length=1024)]
Line = Annotated[str, StringConstraints(pattern=LINE_PATTERN, max_length=1024)]
"""Text that reaches Envoy: any characters but control characters."""
Name = Annotated[str, StringConstraints(pattern=LINE_PATTERN, min_length=1, max_length=253)]
Annotations = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=317)],
        Annotated[str, StringConstraints(max_length=4096)],
    ],
    Field(max_length=64),
]

Port = Annotated[int, Field(ge=1, le=65535)]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]
Percent = Annotated[float, Field(ge=0, le=100)]
Scope = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9_.\-]+(:[a-z0-9_.\-*]+)?$", max_length=128)
]
