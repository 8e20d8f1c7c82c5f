"""What the shell offers: names of contexts, and ids of objects when the API is there at once."""

from __future__ import annotations

import os
from collections.abc import Callable

from fluxgate_cli.admin_client.contexts import contexts_path, load_contexts
from fluxgate_cli.errors import CliError

COMPLETION_SECONDS = 2.0
"""Nobody waits longer for the tabulator key."""
_MOST = 200


def complete_context(incomplete: str) -> list[str]:
    """Contexts that begin so."""
    try:
        known = load_contexts(contexts_path(os.environ)).contexts
    except CliError:
        return []
    return sorted(each for each in known if each.startswith(incomplete))


def complete_ids(path: str) -> Callable[[str], list[tuple[str, str]]]:
    """Names and ids of a list of the API that begin so."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        import httpx  # noqa: PLC0415 - only where a key is pressed

        from fluxgate_cli.admin_client.api import AdminApi  # noqa: PLC0415
        from fluxgate_cli.admin_client.choosing import chosen_context  # noqa: PLC0415
        from fluxgate_cli.admin_client.transport import Transport  # noqa: PLC0415

        try:
            context = chosen_context(None)
            with Transport(context, patience=0, answer_seconds=COMPLETION_SECONDS) as transport:
                found = list(AdminApi(transport, context).pages(path, limit=_MOST))
        except (CliError, httpx.HTTPError, KeyError):
            return []  # a message would end up in the line that is being typed
        own = context.namespace or "default"
        return [
            (spelled, help_)
            for each in found
            for spelled, help_ in _spellings(each, own)
            if spelled.startswith(incomplete)
        ]

    return complete


def _spellings(item: dict[str, str], own: str) -> list[tuple[str, str]]:
    """How an object may be named: by its id, and by its name, with a namespace that is not one's own."""
    namespace, name = item.get("namespace", ""), item.get("name", "")
    spelled = name if namespace == own else f"{namespace}/{name}"
    return [(spelled, item["id"]), (item["id"], f"{namespace}/{name}")]
