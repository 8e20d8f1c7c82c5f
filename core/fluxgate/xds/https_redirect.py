"""The HTTP filter of a listener that sends everyone to HTTPS.

A filter and not a route: what is excepted (ACME's challenges) is then routed like on any other
listener, and no table is needed in which every route stands a second time. It is part of the
listener, since it changes only with the listener. Lua, because no filter of Envoy's own
redirects; the chain of any other listener does not have it.

Proto: envoy.extensions.filters.http.lua.v3.Lua.
"""

from __future__ import annotations

from envoy.extensions.filters.http.lua.v3 import lua_pb2 as lua_v3
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_v3,
)

from fluxgate.ir import HttpsRedirectIR
from fluxgate.xds.proto import any_of

NAME = "fluxgate.redirect_to_https"
_HTTPS_PORT = 443

_SCRIPT = """\
local EXCEPT = {%(prefixes)s}
function envoy_on_request(handle)
  local headers = handle:headers()
  local host, path = headers:get(":authority"), headers:get(":path") or "/"
  for _, prefix in ipairs(EXCEPT) do
    if path:sub(1, #prefix) == prefix then return end
  end
  handle:respond({[":status"] = "%(status)d", ["location"] = "https://" .. host .. "%(port)s" .. path}, "")
end
"""
# the connection manager has normalised the path, and taken the port from the host


def redirect_filter(redirect: HttpsRedirectIR) -> hcm_v3.HttpFilter:
    """The entry in the chain; the first, as nothing else is to be done for such a request."""
    config = lua_v3.Lua()
    config.default_source_code.inline_string = _SCRIPT % {
        "prefixes": ", ".join(_quoted(each) for each in redirect.except_paths),
        "status": redirect.status,
        "port": "" if redirect.port == _HTTPS_PORT else f":{redirect.port}",
    }
    return hcm_v3.HttpFilter(name=NAME, typed_config=any_of(config))


def _quoted(text: str) -> str:
    """A Lua string of any text."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text.encode()) + '"'
