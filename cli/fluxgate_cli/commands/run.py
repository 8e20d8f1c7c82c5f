"""``fluxgate run``: a folder of resources, one Envoy, in the foreground."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from fluxgate_cli import options
from fluxgate_cli.addresses import split_address
from fluxgate_cli.admin import options as admin_options
from fluxgate_cli.admin.options import Given
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
    envoy_admin_port: Annotated[
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
    admin_port: Annotated[
        int | None,
        typer.Option(
            "--admin-port",
            envvar="FLUXGATE_ADMIN_LISTEN_PORT",
            min=0,
            max=65535,
            help="Serve the admin API there; 0 is a free one. By default it is not served.",
        ),
    ] = None,
    admin_address: admin_options.Address = admin_options.LOOPBACK,
    admin_database: Annotated[
        str,
        typer.Option(
            "--admin-database",
            envvar="FLUXGATE_ADMIN_DATABASE",
            help="Its database, a SQLAlchemy URL; by default a SQLite file in the state folder.",
        ),
    ] = "",
    admin_master_key_file: Annotated[
        Path | None,
        typer.Option(
            "--admin-master-key-file",
            envvar="FLUXGATE_ADMIN_MASTER_KEY_FILE",
            help="File with its master keys, the one that seals first.",
        ),
    ] = None,
    admin_unsigned_writes: admin_options.UnsignedWrites = False,
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
      fluxgate run --config config/ --admin-port 8090    with the admin API; see `fluxgate admin`
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
            admin_port=envoy_admin_port,
            drain_seconds=drain_seconds,
            zone=zone,
            metrics=split_address(metrics_address, "--metrics-address")
            if metrics_address
            else None,
        ),
    )
    admin = None
    if admin_port is not None:
        from fluxgate_cli.admin.beside import AdminBeside  # noqa: PLC0415 - 0.5 s others need not wait

        given = Given(admin_database, admin_master_key_file, unsigned_writes=admin_unsigned_writes)
        admin = AdminBeside(
            admin_address,
            admin_port,
            given,
            config=settings.config_dir,
            state=state_dir,
            environ=os.environ,
        )
    is_json = log_format is LogFormat.JSON
    level = log_level or (LogLevel.INFO if is_json else LogLevel.WARNING)
    log = make_logger(log_format, level, colours=console(stderr=True).color_system is not None)
    asyncio.run(serve(settings, log, announce, log.info if is_json else say, admin))


def config_folder(path: Path) -> Path:
    """``path``, once it is known to be a folder. Raises :class:`UsageError`."""
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(
            f"the configuration folder {path} {what}", "Name one with --config or FLUXGATE_CONFIG."
        )
    return path


def announce(addresses: tuple[str, ...], admin: str) -> None:
    """The line scripts wait for."""
    more = (f"admin={admin}",) if admin else ()
    print_data(" ".join(("ready:", *(f"gateway={address}" for address in addresses), *more)))
