"""``fluxgate context``: which admin APIs there are, and which one is meant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fluxgate_cli import options
from fluxgate_cli.admin_client.choosing import checked_context
from fluxgate_cli.admin_client.completion import complete_context
from fluxgate_cli.admin_client.contexts import (
    Context,
    Contexts,
    contexts_path,
    load_contexts,
    save_contexts,
)
from fluxgate_cli.admin_client.secrets import SecretSource
from fluxgate_cli.errors import EPILOG, UsageError
from fluxgate_cli.output import DataFormat, print_as, say

Name = Annotated[
    str, typer.Argument(metavar="NAME", autocompletion=complete_context, show_default=False)
]
_HELP = """Keep the admin APIs this command line talks to.

\b
Examples:
  fluxgate context set prod --server https://admin.example.com --key-file ~/key --secret-file ~/secret
  fluxgate context use prod
  fluxgate context list
"""


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    for name, command in (("list", list_), ("use", use), ("set", set_), ("delete", delete)):
        app.command(name, epilog=EPILOG)(command)
    return app


def list_(output: options.DataOutput = DataFormat.TABLE) -> None:
    """List the contexts, without their secrets.

    \b
    Example:
      fluxgate context list
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    known = load_contexts(contexts_path(os.environ))
    shown = [
        {
            "name": name,
            "current": name == known.current,
            "server": each.server,
            "namespace": each.namespace,
            "credential": _credential(each),
        }
        for name, each in sorted(known.contexts.items())
    ]
    rows = (
        (
            "*" if each["current"] else "",
            str(each["name"]),
            str(each["server"]),
            str(each["namespace"] or "-"),
            str(each["credential"]),
        )
        for each in shown
    )
    print_as(output, shown, ("CURRENT", "NAME", "SERVER", "NAMESPACE", "CREDENTIAL"), rows)


def use(name: Name) -> None:
    """Make a context the current one.

    \b
    Example:
      fluxgate context use prod
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    path = contexts_path(os.environ)
    known = load_contexts(path)
    _need(known, name, path)
    save_contexts(path, known.model_copy(update={"current": name}))
    say(f"{name} is the current context")


def delete(name: Name) -> None:
    """Forget a context.

    \b
    Example:
      fluxgate context delete prod
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    path = contexts_path(os.environ)
    known = load_contexts(path)
    _need(known, name, path)
    left = {key: each for key, each in known.contexts.items() if key != name}
    current = None if known.current == name else known.current
    save_contexts(path, Contexts(current=current, contexts=left))
    say(f"{name} is forgotten")


def set_(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    server: Annotated[
        str | None, typer.Option("--server", help="The API's URL.", show_default=False)
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Where objects without a namespace are."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The key, stored; - asks for it, or reads a line.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file")] = None,
    key_command: Annotated[
        str | None, typer.Option("--key-command", help="A command that prints it.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option("--secret", help="The key's signing secret, stored; - as for --key."),
    ] = None,
    secret_file: Annotated[Path | None, typer.Option("--secret-file")] = None,
    secret_command: Annotated[str | None, typer.Option("--secret-command")] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A bearer token instead of a key.")
    ] = None,
    token_command: Annotated[str | None, typer.Option("--token-command")] = None,
    client_id: Annotated[
        str | None, typer.Option("--client-id", help="An OAuth2 client instead of a key.")
    ] = None,
    client_secret_file: Annotated[Path | None, typer.Option("--client-secret-file")] = None,
    client_secret_command: Annotated[str | None, typer.Option("--client-secret-command")] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="Certificates that the API's is checked with.")
    ] = None,
    allow_http: Annotated[
        bool | None,
        typer.Option("--allow-http/--no-allow-http", help="Send credentials without TLS."),
    ] = None,
    is_current: Annotated[bool, typer.Option("--use", help="Make it the current one.")] = False,
) -> None:
    """Make a context, or change what is given of one. The first one becomes the current one.

    \b
    Examples:
      fluxgate context set dev --server http://127.0.0.1:8090 --key - --secret -
      fluxgate context set prod --server https://admin.example.com --key-command 'pass fluxgate/key'
      fluxgate context set ci --server https://admin.example.com --token-file /run/secrets/token
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    path = contexts_path(os.environ)
    known = load_contexts(path)
    before = known.contexts.get(name)
    fields: dict[str, Any] = before.model_dump(exclude_none=True) if before else {}
    sources = {
        "key": _source("key", key, key_file, key_command),
        "signing_secret": _source("signing secret", secret, secret_file, secret_command),
        "token": _source("token", None, token_file, token_command),
        "client_secret": _source("client secret", None, client_secret_file, client_secret_command),
    }
    _drop_other_credentials(fields, sources)
    plain = {
        "server": server,
        "namespace": namespace,
        "client_id": client_id,
        "ca_file": ca_file,
        "allow_http": allow_http,
    }
    fields |= {key: each for key, each in (plain | sources).items() if each is not None}
    if "server" not in fields:
        raise UsageError(f"the context {name} needs a server", "Give --server URL.")
    context = checked_context(fields)
    contexts = {**known.contexts, name: context}
    current = name if is_current or known.current is None else known.current
    save_contexts(path, Contexts(current=current, contexts=contexts))
    say(f"{name} is {'changed' if before else 'there'}, in {path}")


def _source(
    what: str, value: str | None, file: Path | None, command: str | None
) -> SecretSource | None:
    given = [each for each in (value, file, command) if each is not None]
    if not given:
        return None
    if len(given) > 1:
        raise UsageError(f"the {what} is given more than once")
    if value == "-":
        value = _asked(what)
    return SecretSource(value=value, file=file.absolute() if file else None, command=command)


def _asked(what: str) -> str:
    """From a person without an echo, else one line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(what.capitalize(), hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _drop_other_credentials(fields: dict[str, Any], sources: dict[str, Any]) -> None:
    """Who gives a token wants the key no more."""
    ways = {
        "key": ("key", "signing_secret"),
        "token": ("token",),
        "client": ("client_id", "client_secret"),
    }
    named = {
        "key": sources["key"] or sources["signing_secret"],
        "token": sources["token"],
        "client": sources["client_secret"],
    }
    if any(named.values()):
        for way, names in ways.items():
            if not named[way]:
                for each in names:
                    fields.pop(each, None)


def _credential(context: Context) -> str:
    if context.key is not None:
        signed = "signs writes" if context.signing_secret else "reads only, or unsigned writes"
        return f"key ({context.key.shown}), {signed}"
    if context.token is not None:
        return f"token ({context.token.shown})"
    return f"client {context.client_id}" if context.client_id else "none"


def _need(known: Contexts, name: str, path: Path) -> None:
    if name not in known.contexts:
        there = ", ".join(sorted(known.contexts)) or "none"
        raise UsageError(f"there is no context {name!r} in {path}", f"There is: {there}.")
