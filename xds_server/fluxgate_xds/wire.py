"""Responses as bytes, spliced from what was serialised once.

A resource's payload is never parsed or serialised again: the fields around it
(name, version, ``Any``) are written once per resource, and a response is one
``join`` of those headers and payloads. What every wildcard client gets in full
is joined once per snapshot and shared.
Sources: envoy/service/discovery/v3/discovery.proto, google/protobuf/any.proto.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from fluxgate.snapshot import SnapshotResource
from fluxgate.xds.wire import any_bytes, field_bytes, field_header, field_string
from fluxgate_xds.typestream import Response

_RESOURCES = 2
_TYPE_URL = 4
_NONCE = 5

_ANY_VALUE = 2
_MAX_BODIES = 16
_WORTH_SHARING = 64
"""Fewer resources than this are joined for each stream: a shared body is one copy more."""


class Encoder(ABC):
    """Encodes the responses of one protocol variant; shared by all its streams.

    ``capacity`` bounds how many resource headers (some 200 bytes each) are remembered.
    """

    def __init__(self, *, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self._headers: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._bodies: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self.built = 0
        """How many resource headers were built so far."""

    def encode(self, response: Response) -> bytes:
        """The serialised response."""
        if response.whole and len(response.resources) >= _WORTH_SHARING:
            body: tuple[bytes, ...] = (self._body(response),)
        else:
            body = tuple(self._parts(response.resources))
        return b"".join((*self._prologue(response), *body))

    def _body(self, response: Response) -> bytes:
        key = (response.type_url, response.version)
        if key not in self._bodies:
            self._bodies[key] = b"".join(self._parts(response.resources))
            if len(self._bodies) > _MAX_BODIES:
                self._bodies.popitem(last=False)
        return self._bodies[key]

    def _parts(self, resources: Iterable[SnapshotResource]) -> Iterator[bytes]:
        for resource in resources:
            yield self._header(resource)
            yield resource.payload

    def _header(self, resource: SnapshotResource) -> bytes:
        key = (resource.type_url, resource.name, resource.version)
        header = self._headers.get(key)
        if header is None:
            header = self._headers[key] = self._build_header(resource)
            self.built += 1
            if len(self._headers) > self._capacity:
                self._headers.popitem(last=False)
        return header

    @abstractmethod
    def _build_header(self, resource: SnapshotResource) -> bytes:
        """Everything of the ``resources`` field that comes before the payload."""

    @abstractmethod
    def _prologue(self, response: Response) -> tuple[bytes, ...]:
        """The fields other than ``resources``."""


class DeltaEncoder(Encoder):
    """``DeltaDiscoveryResponse``."""

    def _build_header(self, resource: SnapshotResource) -> bytes:
        size = len(resource.payload)
        packed = any_bytes(resource.type_url, b"") + field_header(_ANY_VALUE, size)
        head = (
            field_string(3, resource.name)
            + field_string(1, resource.version)
            + field_header(2, len(packed) + size)
            + packed
        )
        return field_header(_RESOURCES, len(head) + size) + head

    def _prologue(self, response: Response) -> tuple[bytes, ...]:
        return (
            field_string(1, response.version),
            field_string(_TYPE_URL, response.type_url),
            field_string(_NONCE, response.nonce),
            *(field_bytes(6, name.encode()) for name in response.removed),
        )


class SotwEncoder(Encoder):
    """``DiscoveryResponse``."""

    def _build_header(self, resource: SnapshotResource) -> bytes:
        size = len(resource.payload)
        packed = any_bytes(resource.type_url, b"") + field_header(_ANY_VALUE, size)
        return field_header(_RESOURCES, len(packed) + size) + packed

    def _prologue(self, response: Response) -> tuple[bytes, ...]:
        return (
            field_string(1, response.version),
            field_string(_TYPE_URL, response.type_url),
            field_string(_NONCE, response.nonce),
        )
