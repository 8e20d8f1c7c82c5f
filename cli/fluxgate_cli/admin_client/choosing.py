"""Which context a command uses: the variables of the environment win over the file."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from fluxgate_cli.admin_client.contexts import (
    Context,
    Contexts,
    contexts_path,
    first_problem,
    load_contexts,
)
from fluxgate_cli.admin_client.secrets import SecretSource
from fluxgate_cli.errors import UsageError

NAME_VARIABLE = "FLUXGATE_API"
SERVER_VARIABLE = "FLUXGATE_SERVER"
CA_VARIABLE = "FLUXGATE_CA_FILE"
_CREDENTIALS = {
    "key": "FLUXGATE_KEY",
    "signing_secret": "FLUXGATE_SIGNING_SECRET",
    "token": "FLUXGATE_TOKEN",
    "client_secret": "FLUXGATE_CLIENT_SECRET",
}
"""Each also with ``_FILE`` behind it, for a file that holds it."""
CLIENT_VARIABLE = "FLUXGATE_CLIENT_ID"


def chosen_context(name: str | None, environ: Mapping[str, str] = os.environ) -> Context:
    """The context to use: the one named, else that of the variables, else the current one.

    A credential in the environment replaces the context's as a whole: half of one and half of another
    would be nobody's. Raises :class:`UsageError`.
    """
    path = contexts_path(environ)
    known = load_contexts(path)
    fields = _named_fields(name or environ.get(NAME_VARIABLE) or "", known, path, environ)
    if credential := _credential(environ):
        for each in (*_CREDENTIALS, "client_id"):
            fields.pop(each, None)
        fields |= credential
    if server := environ.get(SERVER_VARIABLE):
        fields["server"] = server
    if ca_file := environ.get(CA_VARIABLE):
        fields["ca_file"] = Path(ca_file)
    return checked_context(fields)


def explicitly_chosen(name: str | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether an API is named for this very command, or in the environment; a current context does not count.

    So commands that ask the process of this folder go on doing that whatever a file at home says.
    """
    return bool(name or environ.get(NAME_VARIABLE))


def _named_fields(
    name: str, known: Contexts, path: Path, environ: Mapping[str, str]
) -> dict[str, Any]:
    if not name and environ.get(SERVER_VARIABLE):
        return {}
    chosen = name or known.current or ""
    if not chosen:
        raise UsageError(
            "no admin API is chosen",
            "Make a context ('fluxgate context set NAME --server URL …'), or set FLUXGATE_SERVER.",
        )
    found = known.contexts.get(chosen)
    if found is None:
        there = ", ".join(sorted(known.contexts)) or "none"
        raise UsageError(f"there is no context {chosen!r} in {path}", f"There is: {there}.")
    return found.model_dump(exclude_none=True)


def _credential(environ: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, variable in _CREDENTIALS.items():
        if value := environ.get(variable):
            found[field] = SecretSource(value=value)
        elif file := environ.get(f"{variable}_FILE"):
            found[field] = SecretSource(file=Path(file))
    if client := environ.get(CLIENT_VARIABLE):
        found["client_id"] = client
    return found


def checked_context(fields: Mapping[str, Any]) -> Context:
    """A context that may be used. Raises :class:`UsageError`, without the secrets in ``fields``."""
    try:
        context = Context.model_validate(fields)
    except ValidationError as error:
        raise UsageError(first_problem(error, "context")) from None
    _check_server(context)
    return context


def _check_server(context: Context) -> None:
    """Refuse to send a credential where everybody on the way could read it."""
    parts = urlsplit(context.server)
    if parts.scheme == "https" or context.allow_http or _is_loopback(parts.hostname or ""):
        return
    raise UsageError(
        f"{context.server} is not HTTPS: everybody on the way could read the credential",
        "Use https://, or allow it with 'fluxgate context set NAME --allow-http'.",
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
