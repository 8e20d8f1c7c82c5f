"""``fluxgate run``: a folder of resources, one Envoy, in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from fluxgate_cli import options
from fluxgate_cli.addresses import split_address
from fluxgate_cli.errors import UsageError
from fluxgate_cli.logs import LogFormat, LogLevel, make_logger
from fluxgate_cli.output import console, print_data, say
from fluxgate_operator.settings import EnvoySettings, StandaloneSettings


def run(
    config: options.ConfigDir = options.DEFAULT_CONFIG,
    state_dir: options.StateDir = options.DEFAULT_STATE,
    http_port: options.HttpPort = None,
    gateway: Annotated[
        str | None,
        typer.Option("--gateway", help="The GatewayConfig to serve; by default the first."),
    ] = None,
    envoy: options.EnvoyPath = None,
    envoy_concurrency: Annotated[
        int, typer.Option("--envoy-concurrency", min=0, help="Worker threads; 0 is one a CPU.")
    ] = 0,
    admin_port: Annotated[
        int,
        typer.Option("--envoy-admin-port", min=0, max=65535, help="On loopback; 0 is a free one."),
    ] = 0,
    metrics_address: Annotated[
        str,
        typer.Option("--metrics-address", help="HOST:PORT where Prometheus may scrape Envoy."),
    ] = "",
    zone: Annotated[
        str, typer.Option("--zone", help="Where Envoy runs, for pools that stay in a zone.")
    ] = "",
    xds_port: Annotated[
        int, typer.Option("--xds-port", min=0, max=65535, help="On loopback; 0 is a free one.")
    ] = 0,
    drain_seconds: Annotated[
        float,
        typer.Option("--drain-seconds", min=0, help="How long open requests may take at the end."),
    ] = 30.0,
    log_format: Annotated[
        LogFormat, typer.Option("--log-format", help="json: one object a line, Envoy's lines too.")
    ] = LogFormat.CONSOLE,
    log_level: Annotated[
        LogLevel | None,
        typer.Option(
            "--log-level",
            help="The least important line that is written; by default warning, with json info.",
        ),
    ] = None,
) -> None:
    """Serve a folder of resources with one Envoy until a signal.

    \b
    Examples:
      fluxgate run --config config/                 says "ready: …" when it serves
      fluxgate run --config config/ --http-port 0   on a free port
      fluxgate run --config config/ --log-format json --log-level warning
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.serving import serve  # noqa: PLC0415 - 0.3 s no other command needs

    settings = StandaloneSettings(
        config_dir=config_folder(config),
        state_dir=state_dir,
        gateway=gateway,
        http_port=http_port,
        xds_port=xds_port,
        envoy=EnvoySettings(
            path=envoy,
            concurrency=envoy_concurrency,
            admin_port=admin_port,
            drain_seconds=drain_seconds,
            zone=zone,
            metrics=split_address(metrics_address, "--metrics-address")
            if metrics_address
            else None,
        ),
    )
    is_json = log_format is LogFormat.JSON
    level = log_level or (LogLevel.INFO if is_json else LogLevel.WARNING)
    log = make_logger(log_format, level, colours=console(stderr=True).color_system is not None)
    asyncio.run(serve(settings, log, announce, log.info if is_json else say))


def config_folder(path: Path) -> Path:
    """``path``, once it is known to be a folder. Raises :class:`UsageError`."""
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(
            f"the configuration folder {path} {what}", "Name one with --config or FLUXGATE_CONFIG."
        )
    return path


def announce(addresses: tuple[str, ...]) -> None:
    """The line scripts wait for."""
    print_data(" ".join(("ready:", *(f"gateway={address}" for address in addresses))))
