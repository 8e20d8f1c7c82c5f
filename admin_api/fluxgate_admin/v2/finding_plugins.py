"""Plugins by what bodies call them."""

from __future__ import annotations

from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import NotFoundError
from fluxgate_admin.v2.calls import Call
from fluxgate_admin.v2.plugin_uses import FindPlugin, is_plugin_id


def finder(call: Call, namespace: str) -> FindPlugin:
    """Plugins of a route's namespace, by id or name, as far as the caller sees them."""

    def find(text: str) -> str | None:
        if is_plugin_id(text):
            try:
                found = call.api.catalogue.find(call.principal, "Plugin", text)
            except NotFoundError:
                return None
            return found.metadata.name if found.metadata.namespace == namespace else None
        ref = ObjectRef("Plugin", namespace, text)
        return text if call.api.catalogue.get(call.principal, ref) is not None else None

    return find
