"""Slots: places in the chain that stay empty until a route fills them with filters of its own.

For filters that have no usable configuration per route (OAuth2 before 1.40, Wasm, what
``envoy-patch`` brings). A slot is Envoy's ``envoy.filters.http.filter_chain``, which this
Envoy (1.40) has: it stands in every listener, off and without a configuration, and a route
switches it on by listing filters with their whole configuration
(``FilterChainConfigPerRoute``). Filling, changing and emptying a slot is an update of the
route table: listeners never change, and the route and its filters change in one step, so that
no request sees one without the other. Envoy puts the filters themselves into the request's
chain, at the slot's place and in their order, so they see everything a filter sees, and a route
that leaves the slot empty pays one look at its configuration.

How to use it, in a filter's three hooks::

    def http_filter(self, gateway):
        return slot(self.name)

    def patch_route(self, route, message):
        if (policy := route.policy(OIDC)) is not None:
            fill(message, self.name, "envoy.filters.http.oauth2", build_oauth2(policy))

What to know:

* The filters of a slot are those of the route that matched first: a filter that makes Envoy
  choose another route later (``clear_route_cache``) does not change them.
* Envoy makes the filters anew with every new version of the route table, so their configuration
  should be small and cheap. State that must survive (counters, caches) belongs to filters
  of the chain with a configuration by ECDS.
* A configuration that Envoy refuses makes it refuse the whole route table, and keep the last one;
  the object to blame is then found and set aside (``fluxgate_operator.isolation``).
* A slot cannot hold a slot (Envoy refuses it), nor a filter that ends the chain (the router).

The alternative was ``envoy.filters.http.composite`` with an ``ExecuteFilterAction`` in an
``ExtensionWithMatcherPerRoute``. It can take a filter's configuration by ECDS, but asks a match tree on
every request, forwards each callback to the filter inside, and answers 500 on a new route until
the configuration has come.

Protos: envoy.extensions.filters.http.filter_chain.v3.{FilterChainConfig,
FilterChainConfigPerRoute}, envoy.config.core.v3.TypedExtensionConfig.
"""

from __future__ import annotations

from envoy.config.core.v3 import extension_pb2 as extension_v3
from envoy.config.route.v3 import route_components_pb2 as route_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from fluxgate.xds.newer_messages import FilterChainConfig, FilterChainConfigPerRoute
from fluxgate.xds.proto import any_of


def slot(name: str) -> hcm_v3.HttpFilter:
    """The entry in the chain of an empty slot. Every slot has a name of its own."""
    return hcm_v3.HttpFilter(name=name, disabled=True, typed_config=any_of(FilterChainConfig()))


def fill(message: route_v3.Route, name: str, inner: str, config: Message | AnyMessage) -> None:
    """Put the filter ``inner`` with ``config`` into the slot ``name`` on one route.

    A route may fill a slot several times: the filters run in the order in which they came.
    ``inner`` names the filter in Envoy's messages and has to be unique in the slot.
    """
    packed = config if isinstance(config, AnyMessage) else any_of(config)
    chain = FilterChainConfigPerRoute()
    slots = message.typed_per_filter_config
    if name in slots:
        chain.ParseFromString(slots[name].value)
    entry = extension_v3.TypedExtensionConfig(name=inner, typed_config=packed)
    chain.filter_chain.filters.append(entry)  # type: ignore[attr-defined]
    slots[name].Pack(chain, deterministic=True)
