"""``compression``: answers compressed for clients that take it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.rules import Rule, unique
from fluxgate.ir.policies.compression import Compression, CompressionUse
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

MediaType = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+$", max_length=128),
]


class CompressionConfig(Model):
    """The config of ``compression``."""

    algorithms: Annotated[
        tuple[Literal["br", "zstd", "gzip"], ...], Field(min_length=1, max_length=3)
    ] = Field(
        default=("br", "zstd", "gzip"),
        description="What the gateway offers. The client's accept-encoding chooses; among those it "
        "weighs equally the first of this list, then the first the client names.",
    )
    content_types: Annotated[tuple[MediaType, ...], Field(min_length=1, max_length=64)] = Field(
        default=(
            "application/javascript",
            "application/json",
            "application/problem+json",
            "application/xml",
            "image/svg+xml",
            "text/css",
            "text/html",
            "text/javascript",
            "text/plain",
            "text/xml",
        ),
        description="Types of answers that are compressed, without parameters.",
    )
    min_length: Annotated[int, Field(ge=30, le=1_048_576)] = Field(
        default=1024, description="Shorter answers stay as they are, in bytes."
    )
    etag: Literal["Weaken", "Skip"] = Field(
        default="Weaken",
        description="A compressed answer is not byte for byte what its strong ETag names: Weaken "
        "makes it a weak one, Skip leaves answers with an ETag alone.",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "algorithms",
            "names one twice",
            "!has(self.algorithms) || self.algorithms.all(a, self.algorithms.filter(b, a == b)"
            ".size() == 1)",
            lambda self: unique(self.algorithms),
        ),
    )


def _apply(policies: Policies, config: CompressionConfig, context: Context) -> Policies:
    types = tuple(sorted(set(config.content_types)))
    skip = config.etag == "Skip"
    content = json.dumps([config.algorithms, types, config.min_length, skip])
    name = sha256(content.encode()).hexdigest()[:16]
    made = Compression(name, context.scope.ref, config.algorithms, types, config.min_length, skip)
    return policies.adding(CompressionUse(name), shared=(made,))


POLICY = PolicyType(
    "compression",
    CompressionConfig,
    _apply,
    harmless_without=True,
    summary="Compresses answers by Brotli, Zstandard or gzip.",
    example="algorithms: [zstd, gzip]\ncontentTypes: [application/json, text/html]\nminLength: 512\n",
)
