"""Filters whose configuration arrives by ECDS, so that a change of it touches no listener.

Protos: envoy.config.core.v3.ExtensionConfigSource,
envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.
"""

from __future__ import annotations

from envoy.config.core.v3 import config_source_pb2 as config_source_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.xds.proto import ads


def discovered_filter(name: str, type_url: str) -> hcm_v3.HttpFilter:
    """The entry in the chain of a filter that is off until a route turns it on.

    Its configuration, a message of ``type_url``, is the extension resource ``name``.
    """
    return hcm_v3.HttpFilter(
        name=name,
        disabled=True,
        config_discovery=config_source_v3.ExtensionConfigSource(
            config_source=ads(), type_urls=[type_url]
        ),
    )
