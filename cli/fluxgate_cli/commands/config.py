"""``fluxgate config``: what all routes of a gateway share."""

from __future__ import annotations

from typing import Annotated

import typer

from fluxgate_cli import options
from fluxgate_cli.errors import EPILOG
from fluxgate_cli.output import DataFormat

GLOBAL = "/v2/config/global"
Gateway = Annotated[
    str | None,
    typer.Option("--gateway", help="The GatewayConfig; not needed where there is one."),
]
_HELP = """TLS, CORS, logging, and the other settings that all routes of a gateway share.

\b
Examples:
  fluxgate config get
  fluxgate config update --data '{cors: {allow_origins: [https://app.example.com]}}'
"""


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    app.command("get", epilog=EPILOG)(get)
    app.command("update", epilog=EPILOG)(update)
    return app


def get(
    gateway: Gateway = None,
    namespace: options.Namespace = None,
    output: options.DataOutput = DataFormat.YAML,
    api: options.Api = None,
) -> None:
    """Show what is in force, defaults included.

    \b
    Example:
      fluxgate config get -o json
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands
    from fluxgate_cli.admin_client.writes import print_object  # noqa: PLC0415

    with connected(api, namespace) as connection:
        found = connection.get(GLOBAL, {"gateway": gateway, "namespace": namespace})
    print_object(found, output)


def update(
    data: options.Data = None,
    file: options.BodyFile = None,
    gateway: Gateway = None,
    if_match: options.IfMatch = None,
    namespace: options.Namespace = None,
    reason: options.Reason = "",
    dry_run: options.DryRun = False,
    wait: options.Wait = True,
    timeout: options.Timeout = 60.0,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Change settings by a JSON merge patch: what is not named stays, null takes away.

    \b
    Example:
      fluxgate config update --file cors.json --dry-run
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above
    from fluxgate_cli.admin_client.writes import Write, read_body, tell  # noqa: PLC0415

    body = read_body(data, file)
    write = Write(reason, dry_run, wait, timeout, if_match=if_match)
    with connected(api, namespace) as connection:
        query = {**write.query, "gateway": gateway, "namespace": namespace}
        tell(
            connection.ask("PATCH", GLOBAL, query, body, write.headers), output, "the configuration"
        )
