"""``lua``: a script of one's own on requests and answers, inside Envoy.

Trust: the code runs in the process that carries everybody's traffic. It can neither read files nor
load code, cannot change the identity that upstreams see, and cannot choose another route, but a loop
without an end would hold up a worker. So the type is off until ``spec.extensions.allow`` of the
GatewayConfig admits it, and for tenants until ``allowTenants`` does.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import ObjectName
from fluxgate.api.v1alpha1.route import BackendRef
from fluxgate.ir.policies.lua import Lua
from fluxgate.translator.plugins.base import Context, Policies, PolicyType

MAX_SOURCE = 32 * 1024

Source = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=MAX_SOURCE, pattern=r"^[\t\n\r\x20-\x7e\u00a0-\U0010ffff]+$"
    ),
]


class LuaConfig(Model):
    """The config of ``lua``."""

    source: Source = Field(
        description="Lua 5.1 that defines envoy_on_request(handle), envoy_on_response(handle) or both, "
        "as Envoy's Lua filter calls them, at most 32 KiB. It runs after authentication and limits. "
        "A hook that fails ends the request with 500."
    )
    backends: Annotated[dict[ObjectName, BackendRef], Field(max_length=8)] = Field(
        default_factory=dict,
        description="Whom handle:httpCall may call: the first argument is one of these names.",
    )


def _apply(policies: Policies, config: LuaConfig, context: Context) -> Policies:
    context.require_admitted("lua")
    backends = tuple(
        (name, context.cluster(backend, f"config.backends.{name}"))
        for name, backend in sorted(config.backends.items())
    )
    return policies.adding(Lua(context.name, config.source, backends))


POLICY = PolicyType(
    "lua",
    LuaConfig,
    _apply,
    summary="Runs a Lua script on the requests and answers of a route.",
    example="""\
source: |
  function envoy_on_request(handle)
    handle:headers():add("x-region", "eu")
  end
""",
    errors=((500, "the script fails"),),
)
