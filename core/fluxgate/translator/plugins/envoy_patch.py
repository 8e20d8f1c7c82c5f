"""``envoy-patch``: raw Envoy configuration on a route, for what no other type says.

Two things can be said: HTTP filters that the route gets behind everything that protects it, and
a fragment of ``envoy.config.route.v3.Route`` that is merged into the route's own. Out of reach is what decides
whom a route serves and where it sends: its match, name, destinations, and the configuration of the other
filters. Envoy checks a patch in a dry run before it is served; one that it refuses is set aside, with
Envoy's words on the Plugin. Off until ``spec.extensions.allow`` of the GatewayConfig admits the type.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, ClassVar

from envoy.config.route.v3 import route_components_pb2 as route_v3
from google.protobuf import json_format
from google.protobuf.message import Message
from pydantic import Field

from fluxgate.api.v1alpha1 import Model
from fluxgate.api.v1alpha1.base import Name
from fluxgate.api.v1alpha1.rules import Rule, unique_by
from fluxgate.ir.policies.envoy_patch import EnvoyPatch, PatchedFilter
from fluxgate.translator.findings import PolicyError
from fluxgate.translator.plugins.base import Context, Policies, PolicyType
from fluxgate.xds import names

MAX_BYTES = 64 * 1024
_TYPE = re.compile(
    r"type\.googleapis\.com/envoy\.extensions\.filters\.http\.[a-z0-9_.]+\.[A-Za-z0-9]+"
)
_NOT_HERE = {
    "envoy.extensions.filters.http.router.v3.Router": "ends the chain",
    "envoy.extensions.filters.http.filter_chain.v3.FilterChainConfig": "holds other filters",
    "envoy.extensions.filters.http.composite.v3.Composite": "holds other filters",
}
ROUTE_FIELDS = (
    "decorator",
    "metadata",
    "per_request_buffer_limit_bytes",
    "request_headers_to_add",
    "request_headers_to_remove",
    "response_headers_to_add",
    "response_headers_to_remove",
    "route",
    "tracing",
)
ACTION_FIELDS = (
    "early_data_policy",
    "hash_policy",
    "hedge_policy",
    "idle_timeout",
    "internal_redirect_policy",
    "max_stream_duration",
    "priority",
    "retry_policy",
    "timeout",
    "upgrade_configs",
)


class EnvoyFilter(Model):
    """One HTTP filter."""

    name: Name = Field(description="How Envoy's messages call it; unique in the patch.")
    typed_config: dict[str, Any] = Field(
        description='Its configuration as Envoy\'s JSON, with "@type". Envoy itself reads it, so '
        "everything that this Envoy knows can be said."
    )


class EnvoyPatchConfig(Model):
    """The config of ``envoy-patch``; at most 64 KiB of JSON."""

    filters: Annotated[tuple[EnvoyFilter, ...], Field(max_length=8)] = Field(
        default=(), description="HTTP filters, in the order in which requests pass them."
    )
    route: dict[str, Any] = Field(
        default_factory=dict,
        description="A fragment of envoy.config.route.v3.Route as JSON. Values replace those of the "
        "route, lists grow. Fields: "
        + ", ".join(ROUTE_FIELDS)
        + "; of route: "
        + ", ".join(ACTION_FIELDS)
        + ".",
    )

    rules: ClassVar[tuple[Rule, ...]] = (
        unique_by("filters", "two filters have the same name", "name"),
    )


def _apply(policies: Policies, config: EnvoyPatchConfig, context: Context) -> Policies:
    context.require_admitted("envoy-patch")
    if not config.filters and not config.route:
        raise PolicyError("config", "says nothing; give filters, route or both")
    filters = tuple(
        _filter(each, f"config.filters[{index}].typedConfig")
        for index, each in enumerate(config.filters)
    )
    return policies.adding(EnvoyPatch(filters, _fragment(config.route) if config.route else b""))


def _filter(each: EnvoyFilter, path: str) -> PatchedFilter:
    config = dict(each.typed_config)
    kind = config.pop("@type", None)
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise PolicyError(
            f"{path}.@type",
            "has to name the configuration of an HTTP filter: "
            "type.googleapis.com/envoy.extensions.filters.http.…",
        )
    if (why := _NOT_HERE.get(kind.partition("/")[2])) is not None:
        raise PolicyError(f"{path}.@type", f"{kind} {why} and cannot be put into a route")
    return PatchedFilter(each.name, kind, _json(config, path))


def _json(value: dict[str, Any], path: str) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) > MAX_BYTES:
        raise PolicyError(path, "is larger than 64 KiB")
    return text


def _fragment(written: dict[str, Any]) -> bytes:
    path = "config.route"
    _json(written, path)
    try:
        message = json_format.ParseDict(written, route_v3.Route())
    except (json_format.ParseError, TypeError, ValueError, RecursionError) as error:
        raise PolicyError(path, f"is no fragment of a Route: {error}") from None
    _require_known(message, ROUTE_FIELDS, path)
    if message.HasField("route"):
        _require_known(message.route, ACTION_FIELDS, f"{path}.route")
    _require_unclaimed(message, path)
    payload: bytes = message.SerializeToString(deterministic=True)
    return payload


def _require_unclaimed(message: route_v3.Route, path: str) -> None:
    """Who is calling, and what the gateway's own filters are told, is not to be patched."""
    added = [each.header.key for each in message.request_headers_to_add]
    for header in (*added, *message.request_headers_to_remove):
        if header.lower() in names.IDENTITY_HEADERS:
            raise PolicyError(path, f"only the gateway says what stands in {header}; leave it out")
    for name in (*message.metadata.filter_metadata, *message.metadata.typed_filter_metadata):
        if name.startswith("fluxgate"):
            raise PolicyError(f"{path}.metadata", f"{name} belongs to the gateway; leave it out")


def _require_known(message: Message, fields: tuple[str, ...], path: str) -> None:
    for descriptor, _ in message.ListFields():
        if descriptor.name not in fields:
            known = ", ".join(fields)
            raise PolicyError(
                f"{path}.{descriptor.json_name}", f"cannot be patched; what can: {known}"
            )


POLICY = PolicyType(
    "envoy-patch",
    EnvoyPatchConfig,
    _apply,
    summary="Adds raw Envoy configuration to a route: HTTP filters, and a fragment of the route.",
    example="""\
filters:
  - name: stamp
    typedConfig:
      "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
      mutations:
        responseMutations:
          - append: {header: {key: x-stamp, value: "%HOSTNAME%"}}
route:
  route: {maxStreamDuration: {maxStreamDuration: 60s}}
""",
)
