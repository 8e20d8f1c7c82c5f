"""Options that several commands share, with the environment variable each one reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fluxgate_cli.admin_client.completion import complete_context
from fluxgate_cli.output import DataFormat, OutputFormat

ConfigDir = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="FLUXGATE_CONFIG",
        help="Folder with the resources as YAML files.",
        show_default=True,
    ),
]
OptionalConfigDir = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="FLUXGATE_CONFIG",
        help="Folder with the resources as YAML files, instead of the running instance.",
    ),
]
StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir",
        envvar="FLUXGATE_STATE_DIR",
        help="Folder for the control socket, Envoy's bootstrap and other state of a running instance.",
        show_default=True,
    ),
]
HttpPort = Annotated[
    int | None,
    typer.Option(
        "--http-port",
        envvar="FLUXGATE_HTTP_PORT",
        min=0,
        max=65535,
        help="Port of the first plain HTTP listener instead of the one in its GatewayConfig; 0 picks a free one.",
    ),
]
EnvoyPath = Annotated[
    Path | None,
    typer.Option(
        "--envoy",
        envvar="FLUXGATE_ENVOY",
        help="The Envoy binary; by default the one on PATH, then that of the envoy extra.",
    ),
]
Output = Annotated[
    OutputFormat, typer.Option("--output", "-o", help="How to print the result.", show_default=True)
]
DataOutput = Annotated[
    DataFormat, typer.Option("--output", "-o", help="How to print the result.", show_default=True)
]
Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        envvar="FLUXGATE_API",
        metavar="CONTEXT",
        help="The admin API to ask: a context; by default the current one.",
        autocompletion=complete_context,
    ),
]
OptionalApi = Annotated[
    str | None,
    typer.Option(
        "--api",
        envvar="FLUXGATE_API",
        metavar="CONTEXT",
        help="Ask the admin API of this context instead.",
        autocompletion=complete_context,
    ),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Only objects of this namespace; by default the context's, else all.",
    ),
]
InNamespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", help="Where it is; by default the context's, else the server's choice."
    ),
]
ActIn = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Of a ServiceAccount's token: where it is to act; by default the context's, else its own.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Return when every node serves it.")]

Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="How many at most; by default all.")
]
Data = Annotated[
    str | None, typer.Option("--data", "-d", help="The body, as JSON or YAML.", show_default=False)
]
BodyFile = Annotated[
    str | None,
    typer.Option("--file", "-f", help="A file with the body; - is standard input."),
]
IfMatch = Annotated[
    str | None, typer.Option("--if-match", help="Only if its etag is this one still.")
]
Force = Annotated[bool, typer.Option("--force", help="Also when others use it.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.0, help="Seconds to wait.", show_default=True)
]

DEFAULT_CONFIG = Path()
DEFAULT_STATE = Path(".fluxgate")
