"""How answers are compressed."""

from __future__ import annotations

from dataclasses import dataclass

from fluxgate.ir.policy import RoutePolicy, Shared


@dataclass(frozen=True, slots=True)
class Compression(Shared):
    """One way to compress, which many routes share. Its name is made of its content.

    The first of ``algorithms`` is preferred among those a client weighs equally. Bodies below
    ``min_bytes`` and of other types stay as they are. ``skip_etag`` leaves answers with an ETag alone;
    otherwise a strong ETag becomes a weak one.
    """

    algorithms: tuple[str, ...]
    content_types: tuple[str, ...]
    min_bytes: int
    skip_etag: bool = False


@dataclass(frozen=True, slots=True)
class CompressionUse(RoutePolicy):
    """The name of the :class:`Compression` of a route."""

    name: str
