"""Responses as bytes, spliced from what was serialised once.

A resource's payload is never parsed or serialised again: the fields around it
(name, version, ``Any``) are written once per resource, and a response is one
``join`` of those headers and payloads. Responses that are the same for many streams
are joined once and shared.
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
_MAX_SHARED_BYTES = 64 * 1024 * 1024


_MAX_MESSAGES = 256
_Key = tuple[str, str, str, tuple[str, ...], tuple[tuple[str, str], ...] | None]


def _key(response: Response) -> _Key:
    """What the bytes depend on. A whole set is told by its version."""
    resources = response.resources
    content = None if response.whole else tuple((each.name, each.version) for each in resources)
    return response.type_url, response.version, response.nonce, response.removed, content


class Encoder(ABC):
    """Encodes the responses of one protocol variant; shared by all its streams.

    ``capacity`` bounds how many resource headers (some 200 bytes each) are remembered.
    """

    def __init__(self, *, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self._headers: OrderedDict[tuple[str, str, str], bytes] = OrderedDict()
        self._messages: OrderedDict[_Key, bytes] = OrderedDict()
        self._shared_bytes = 0
        self.built = 0
        """How many resource headers were built so far."""

    def encode(self, response: Response) -> bytes:
        """The serialised response; the same object for streams that are sent the same."""
        key = _key(response)
        message = self._messages.get(key)
        if message is None:
            parts = self._parts(response.resources)
            message = b"".join((*self._prologue(response), *parts))
            self._remember(key, message)
        else:
            self._messages.move_to_end(key)
        return message

    def _remember(self, key: _Key, message: bytes) -> None:
        self._messages[key] = message
        self._shared_bytes += len(message)
        while self._shared_bytes > _MAX_SHARED_BYTES or len(self._messages) > _MAX_MESSAGES:
            _, oldest = self._messages.popitem(last=False)
            self._shared_bytes -= len(oldest)

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
