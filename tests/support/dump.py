"""Statuses and snapshots as stable YAML for people to read and for golden files to keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml
from envoy.config.cluster.v3 import cluster_pb2 as cluster_v3
from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.endpoint.v3 import endpoint_pb2 as endpoint_v3
from envoy.config.listener.v3 import listener_pb2 as listener_v3
from envoy.config.route.v3 import route_pb2 as route_config_v3
from envoy.extensions.filters.http.lua.v3 import lua_pb2 as _lua_v3  # registers Any's content
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2 as secret_v3
from google.protobuf import json_format
from google.protobuf.message import Message

from fluxgate.resources import ObjectRef
from fluxgate.snapshot import Snapshot, SnapshotResource
from fluxgate.status import ObjectStatus
from fluxgate.xds import typeurl
from fluxgate.xds.rate_limit_messages import RateLimitConfig

_ = _lua_v3
_MESSAGES: dict[str, type[Message]] = {
    typeurl.CLUSTER: cluster_v3.Cluster,
    typeurl.ENDPOINT: endpoint_v3.ClusterLoadAssignment,
    typeurl.SECRET: secret_v3.Secret,
    typeurl.EXTENSION: extension_v3.TypedExtensionConfig,
    typeurl.LISTENER: listener_v3.Listener,
    typeurl.ROUTE: route_config_v3.RouteConfiguration,
    typeurl.RATE_LIMIT: RateLimitConfig,
}
_SECRETS = {"private_key", "generic_secret"}

CONSTANT = {
    "access_log",
    "early_header_mutation_extensions",
    "local_reply_config",
}
"""Parts of every connection manager that no resource changes; one golden case shows them."""


def dump_statuses(statuses: Mapping[ObjectRef, ObjectStatus]) -> str:
    """Every object's conditions, ordered by kind, namespace and name."""
    return _yaml(
        {
            str(ref): {
                condition.type.value: {
                    "status": condition.status,
                    "reason": condition.reason.value,
                    **({"message": condition.message} if condition.message else {}),
                }
                for condition in statuses[ref].conditions
            }
            for ref in sorted(statuses)
        }
    )


def dump_snapshot(snapshot: Snapshot, *, hidden: Iterable[str] = ()) -> str:
    """Every lasting resource by type and name; fields named in ``hidden`` are left out.

    Private keys and generic secrets are never shown. Lua code is left out: it is reviewed where it is written.
    """
    away = {*hidden, *_SECRETS}
    return _yaml(
        {
            typeurl.short(url): {
                name: _without(_as_dict(resource), away)
                for name, resource in named.items()
                if not resource.final
            }
            for url, named in snapshot.resources.items()
            if named
        }
    )


def _as_dict(resource: SnapshotResource) -> dict[str, Any]:
    message = _MESSAGES[resource.type_url]()
    message.ParseFromString(resource.payload)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _without(value: Any, away: set[str]) -> Any:
    if isinstance(value, list):
        return [_without(item, away) for item in value]
    if not isinstance(value, dict):
        return value
    return dict(_kept(value, away))


def _kept(value: dict[str, Any], away: set[str]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key in away:
            continue
        if key == "default_source_code":
            yield key, "(Lua)"
        else:
            yield key, _without(item, away)


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=100)
