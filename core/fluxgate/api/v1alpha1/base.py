"""What every kind shares: the model base, metadata, and the scalar types.

The models are the single definition of the kinds: CRD schemas, documentation
and validation are generated from them. They know nothing about Envoy.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "gateway.fluxgate.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"


class Model(BaseModel):
    """Frozen, closed, camelCase on the wire and snake_case in Python."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=True,
    )


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


class Resource(Model):
    """Base of the kinds. Subclasses narrow ``kind`` and ``spec``.

    ``status`` is accepted and kept out of comparisons: it is ours to write, not
    the user's to say.
    """

    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]] = ()

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


def _check_regex_size(text: str) -> str:
    if len(text) > MAX_REGEX_LENGTH:
        raise ValueError(
            f"the regular expression has {len(text)} characters; at most {MAX_REGEX_LENGTH} are allowed"
        )
    return text


MAX_REGEX_LENGTH = 1024

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

HeaderName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+\-.^`|~]+$", min_length=1, max_length=256)
]
"""A field name of RFC 9110 section 5.1, without the underscore (dropped at the listener)."""

Port = Annotated[int, Field(ge=1, le=65535)]
Weight = Annotated[int, Field(ge=0, le=1_000_000)]
Percent = Annotated[float, Field(ge=0, le=100)]
Scope = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9_.\-]+(:[a-z0-9_.\-*]+)?$", max_length=128)
]
