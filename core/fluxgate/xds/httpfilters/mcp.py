"""MCP servers: the challenge in refusals, and which tools may be called.

Tools are read by Envoy's own filter for MCP, which parses the JSON-RPC message of a POST into dynamic
metadata; an RBAC filter refuses calls of other tools. What is no MCP message, has a key twice or is
too large to be read is refused, so that nothing else is what the server understands.

Protos: envoy.extensions.filters.http.{mcp.v3.Mcp,rbac.v3.RBAC,lua.v3.Lua}. ``reject_duplicate_keys``
and ``request_storage_mode`` are newer than xds-protos.
"""

from __future__ import annotations

from collections.abc import Iterator

from envoy.config.rbac.v3 import rbac_pb2 as rbac_config_v3
from envoy.extensions.filters.http.mcp.v3 import mcp_pb2 as mcp_v3
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as rbac_v3
from envoy.type.matcher.v3 import metadata_pb2 as metadata_matcher_v3
from envoy.type.matcher.v3 import string_pb2 as string_matcher_v3
from envoy.type.matcher.v3 import value_pb2 as value_matcher_v3
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue

from fluxgate.ir.policies.mcp import Mcp
from fluxgate.xds import names
from fluxgate.xds.httpfilters import lua
from fluxgate.xds.httpfilters.lua_script import quoted, shared_lua
from fluxgate.xds.proto import payload_of, uint32
from fluxgate.xds.wire import field_bytes, varint

METADATA = ("envoy.filters.http.mcp", "mcp_proxy")
"""Where Envoy's filter writes what it read; which of both, a runtime flag of Envoy decides."""

_REQUEST_STORAGE_MODE, _DYNAMIC_METADATA = 5, 1
_REJECT_DUPLICATE_KEYS = 8


def build_mcp(policy: Mcp) -> Iterator[tuple[str, Message]]:
    """The filters of an MCP route, in their order."""
    yield "mcp-challenge", shared_lua(f"local CHALLENGE = {quoted(policy.challenge)}\n{lua.MCP}")
    if policy.tools is not None:
        yield "mcp", _reader(policy.max_request_bytes)
        yield "mcp-tools", _tools(policy.tools)


def _reader(most: int) -> mcp_v3.Mcp:
    message = mcp_v3.Mcp(traffic_mode=mcp_v3.Mcp.REJECT_NO_MCP, max_request_body_size=uint32(most))
    message.MergeFromString(varint(_REQUEST_STORAGE_MODE << 3) + varint(_DYNAMIC_METADATA))
    refused = payload_of(BoolValue(value=True))
    message.MergeFromString(field_bytes(_REJECT_DUPLICATE_KEYS, refused))
    return message


def _tools(allowed: tuple[str, ...]) -> rbac_v3.RBAC:
    """Refuse ``tools/call`` of any tool that is not listed, and of one without a name."""
    policy = rbac_config_v3.Policy(
        permissions=[_unlisted(where, allowed) for where in METADATA],
        principals=[rbac_config_v3.Principal(any=True)],
    )
    return rbac_v3.RBAC(
        rules=rbac_config_v3.RBAC(
            action=rbac_config_v3.RBAC.DENY, policies={names.MCP_TOOLS: policy}
        )
    )


def _unlisted(where: str, allowed: tuple[str, ...]) -> rbac_config_v3.Permission:
    """What a call of a tool outside ``allowed`` looks like."""
    call = rbac_config_v3.Permission(metadata=_says(where, ("method",), "tools/call"))
    refused = rbac_config_v3.Permission()
    refused.and_rules.rules.append(call)
    if allowed:
        refused.and_rules.rules.add().not_rule.or_rules.rules.extend(
            rbac_config_v3.Permission(metadata=_says(where, ("params", "name"), name))
            for name in allowed
        )
    return refused


def _says(where: str, path: tuple[str, ...], value: str) -> metadata_matcher_v3.MetadataMatcher:
    return metadata_matcher_v3.MetadataMatcher(
        filter=where,
        path=[metadata_matcher_v3.MetadataMatcher.PathSegment(key=each) for each in path],
        value=value_matcher_v3.ValueMatcher(
            string_match=string_matcher_v3.StringMatcher(exact=value)
        ),
    )
