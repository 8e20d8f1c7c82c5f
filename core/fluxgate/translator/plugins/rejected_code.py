"""The statuses with which a limit may refuse a request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

RejectedCode = Annotated[
    Literal[400, 402, 403, 404, 409, 420, 429, 430, 500, 502, 503, 509, 529],
    Field(description="Status of a refusal; gRPC clients get RESOURCE_EXHAUSTED whatever it is."),
]
"""A closed list: the answers stand ready in every listener (:mod:`fluxgate.xds.replies`)."""
