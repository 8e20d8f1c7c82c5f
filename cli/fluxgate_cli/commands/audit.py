"""``fluxgate audit``: who called the admin API, and what became of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.text import Text

from fluxgate_cli import options
from fluxgate_cli.errors import EPILOG
from fluxgate_cli.output import DataFormat, print_as

AUDIT = "/v2/audit"
_COLOURS = {"accepted": "green", "refused": "red"}
_HELP = """The log of calls of the admin API, refused ones included.

\b
Example:
  fluxgate audit list --outcome refused --since 2026-11-21T00:00:00Z
"""


class Outcome(StrEnum):
    """What became of a call."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    app.command("list", epilog=EPILOG)(list_)
    app.callback()(_group)  # so that one command alone stays a command of a group
    return app


def _group() -> None: ...


def list_(
    since: Annotated[
        str | None, typer.Option("--since", help="Not before this time, as AT shows them.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Before this time.")] = None,
    principal: Annotated[
        str | None, typer.Option("--principal", help="Only by this caller, or credential's id.")
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Only of this method.")] = None,
    path: Annotated[
        str | None, typer.Option("--path", help="Only where the path begins so.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="Only with this status, or class: 403, 5xx.")
    ] = None,
    outcome: Annotated[
        Outcome | None, typer.Option("--outcome", help="Only what ended so.")
    ] = None,
    request_id: Annotated[str | None, typer.Option("--request-id", help="Only this call.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """List calls, newest first: by callers of all namespaces every one, by others those of their own team.

    \b
    Examples:
      fluxgate audit list --path /v2/auth --method POST
      fluxgate audit list --request-id req_77f2a9c1 -o yaml
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands

    query = {
        "since": since,
        "until": until,
        "principal": principal,
        "method": method.upper() if method else None,
        "path": path,
        "status": status,
        "outcome": outcome.value if outcome else None,
        "request_id": request_id,
    }
    with connected(api) as connection:
        found = list(connection.pages(AUDIT, query, limit))
    columns = ("AT", "PRINCIPAL", "ADDRESS", "METHOD", "PATH", "STATUS", "ERROR", "REQUEST")
    rows = (
        (
            each["at"],
            each["principal"] or "-",
            each["address"] or "-",
            each["method"],
            each["path"],
            Text(str(each["status"] or "-"), style=_COLOURS.get(each["outcome"], "yellow")),
            each["error"] or "",
            each["request_id"],
        )
        for each in found
    )
    print_as(output, found, columns, rows)
