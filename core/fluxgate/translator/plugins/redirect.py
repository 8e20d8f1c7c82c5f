"""``redirect``: the route sends the client elsewhere instead of forwarding."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

from pydantic import Field

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import AbsolutePath, ExactHostname, Port
from fluxgate.api.v1alpha1.rules import Rule, how_many
from fluxgate.ir import Redirect
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType


class RedirectConfig(Model):
    """The config of ``redirect``. What is not given stays as the request has it."""

    scheme: Literal["http", "https"] | None = None
    host: ExactHostname | None = None
    port: Port | None = Field(
        default=None,
        description="Give it where clients reach the target on another port than that of its "
        "scheme: the gateway does not know on which port it is published.",
    )
    path: AbsolutePath | None = Field(default=None, description="Replaces the whole path.")
    prefix: AbsolutePath | None = Field(
        default=None,
        description="Replaces what the route matched of the path, the rest stays; for matches of "
        "type Prefix or Exact.",
    )
    status: Literal[301, 302, 303, 307, 308] = Field(
        default=302, description="307 and 308 make clients repeat method and body."
    )
    query: Literal["Keep", "Strip"] = "Keep"

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "says nothing that differs from the request; give scheme, host, port, path or prefix",
            "has(self.scheme) || has(self.host) || has(self.port) || has(self.path)"
            " || has(self.prefix)",
            lambda self: how_many(self.scheme, self.host, self.port, self.path, self.prefix) > 0,
        ),
        Rule(
            "prefix",
            "path replaces all of it; give one of path and prefix",
            "!has(self.path) || !has(self.prefix)",
            lambda self: self.path is None or self.prefix is None,
        ),
    )


def _apply(policies: Policies, config: RedirectConfig, context: Context) -> Policies:
    if config.prefix is not None:
        kinds = {match.path.type for match in context.route.spec.matches}
        if not kinds <= {"Prefix", "Exact"}:
            raise PolicyError(
                "config.prefix", "needs a route whose matches are of type Prefix or Exact; use path"
            )
    action = Redirect(
        config.status,
        config.scheme or "",
        config.host or "",
        config.port or 0,
        config.path or "",
        config.prefix or "",
        config.query == "Strip",
    )
    return replace(policies, action=action)


POLICY = PolicyType(
    "redirect",
    RedirectConfig,
    _apply,
    summary="Answers with a redirect; the route needs no backend.",
    example="scheme: https\nhost: www.example.com\nprefix: /new\nstatus: 308\n",
)
