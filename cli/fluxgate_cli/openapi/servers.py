"""Where requests go: servers of OpenAPI as Backends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from fluxgate_cli.openapi.document import Json, OpenApi

_VARIABLE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class Server:
    """``origin`` is scheme, host and port, empty where the document names none; ``base`` the path in front."""

    origin: str
    base: str


def server_of(api: OpenApi, nodes: list[tuple[object, str]], upstream: str | None) -> Server:
    """The server of the innermost ``servers`` list; ``upstream`` is where requests go instead of its origin."""
    for servers, place in nodes:
        if not isinstance(servers, list) or not servers:
            continue
        if len(servers) > 1:
            api.note(place, f"names {len(servers)} servers; the first is taken", lost=False)
        first = api.resolve(servers[0], f"{place}/0")
        parts = urlsplit(_url(first))
        absolute = parts.scheme in ("http", "https") and parts.netloc
        if not absolute and upstream is None:
            api.note(f"{place}/0", "names no host to send requests to; give --upstream URL")
        origin = f"{parts.scheme}://{parts.netloc}" if absolute else ""
        return Server(upstream or origin, parts.path.rstrip("/"))
    if upstream is None:
        api.note(
            "/servers", "is not there, so there is nowhere to send requests to; give --upstream URL"
        )
    return Server(upstream or "", "")


def _url(server: Json) -> str:
    variables = server.get("variables")
    known = variables if isinstance(variables, Mapping) else {}

    def default(match: re.Match[str]) -> str:
        found = known.get(match[1])
        return str(found.get("default", "")) if isinstance(found, Mapping) else match[0]

    return _VARIABLE.sub(default, str(server.get("url") or ""))
