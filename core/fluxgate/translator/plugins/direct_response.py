"""``direct-response``: the gateway answers by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import Line
from fluxgate.ir import DirectResponse
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.translator.plugins.header_changes import ChangedHeader

MAX_BODY_BYTES = 4096
"""Envoy's own bound (RouteConfiguration.max_direct_response_body_size_bytes)."""


def _check_size(body: str) -> str:
    size = len(body.encode())
    if size > MAX_BODY_BYTES:
        raise ValueError(f"has {size} bytes; at most {MAX_BODY_BYTES} are allowed")
    return body


Body = Annotated[str, StringConstraints(max_length=MAX_BODY_BYTES), AfterValidator(_check_size)]
ContentType = Annotated[
    str,
    StringConstraints(
        pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+( ?;[ -~]*)?$", max_length=128
    ),
]


class DirectResponseConfig(Model):
    """The config of ``direct-response``. The body is sent as it is written; nothing is put in."""

    status: Annotated[int, Field(ge=200, le=599)] = 200
    body: Body = Field(default="", description="At most 4,096 bytes.")
    content_type: ContentType = Field(
        default="text/plain; charset=utf-8", description="The type of the body."
    )
    headers: Annotated[dict[ChangedHeader, Line], Field(max_length=32)] = Field(
        default_factory=dict, description="More headers of the answer."
    )


def _apply(policies: Policies, config: DirectResponseConfig, _context: Context) -> Policies:
    given = {name: value for name, value in config.headers.items() if name != "content-type"}
    action = DirectResponse(
        config.status,
        config.body,
        config.headers.get("content-type", config.content_type) if config.body else "",
        tuple(sorted(given.items())),
        verbatim=True,
    )
    return replace(policies, action=action)


POLICY = PolicyType(
    "direct-response",
    DirectResponseConfig,
    _apply,
    summary="Answers with a fixed status, headers and body; the route needs no backend.",
    example=(
        "status: 200\n"
        "contentType: application/json\n"
        'body: \'{"status": "ok"}\'\n'
        "headers: {cache-control: no-store}\n"
    ),
)
