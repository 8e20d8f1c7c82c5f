"""``fluxgate nodes``: the Envoys, and what each serves."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from fluxgate_cli import options
from fluxgate_cli.errors import EPILOG
from fluxgate_cli.output import DataFormat, print_as

NODES = "/v2/nodes"
SHORT_VERSION = 12
_COLOURS = {"synced": "green", "pending": "yellow"}
_HELP = """The Envoys of the gateways.

\b
Example:
  fluxgate nodes list
"""


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    app.command("list", epilog=EPILOG)(list_)
    app.callback()(_group)  # so that one command alone stays a command of a group
    return app


def _group() -> None: ...


def list_(
    gateway: Annotated[str, typer.Option("--gateway", help="Only of this one.")] = "",
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """List every Envoy: what it serves, why it lags, what it rejects.

    \b
    Example:
      fluxgate nodes list -o json
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands

    with connected(api) as connection:
        found = list(connection.pages(NODES, {"gateway": gateway}))
    columns = ("NODE", "GATEWAY", "STATE", "SERVES", "LAST SEEN", "WHY")
    rows = (
        (
            each["id"],
            each["gateway"],
            Text(each["sync_state"], style=_COLOURS.get(each["sync_state"], "red")),
            each["version"][:SHORT_VERSION] or "nothing yet",
            each["last_seen"],
            "; ".join(filter(None, (each["lag"], each["last_error"]))),
        )
        for each in found
    )
    print_as(output, found, columns, rows)
