"""``fluxgate admin``: the admin API as a process of its own on Kubernetes, and its database."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from fluxgate_cli import cluster, options
from fluxgate_cli.admin import options as admin_options
from fluxgate_cli.admin.options import Given
from fluxgate_cli.admin.secret_commands import rewrap, rotate_signing_key
from fluxgate_cli.commands.controller import own_namespace
from fluxgate_cli.errors import EPILOG, UsageError
from fluxgate_cli.logs import LogFormat, LogLevel, make_logger
from fluxgate_cli.output import OutputFormat, console, print_data, print_json, say
from fluxgate_operator.settings import ClusterSettings, ControllerSettings

LogFormatOption = Annotated[
    LogFormat, typer.Option(envvar="FLUXGATE_LOG_FORMAT", help="json: one object a line.")
]
LogLevelOption = Annotated[
    LogLevel,
    typer.Option(envvar="FLUXGATE_LOG_LEVEL", help="The least important line that is written."),
]


def create_app() -> typer.Typer:
    """The group."""
    app = typer.Typer(
        help="The admin API: serve it on Kubernetes, make its first key, keep its database and secrets.",
        no_args_is_help=True,
    )
    app.command(epilog=EPILOG)(serve)
    app.command(epilog=EPILOG)(bootstrap)
    app.command(epilog=EPILOG)(migrate)
    app.command(epilog=EPILOG)(rotate_signing_key)
    app.command(epilog=EPILOG)(rewrap)
    return app


def serve(
    database: admin_options.Database = "",
    master_key_file: admin_options.MasterKeyFile = None,
    address: admin_options.Address = admin_options.LOOPBACK,
    port: Annotated[
        int,
        typer.Option(
            "--admin-port",
            envvar="FLUXGATE_ADMIN_LISTEN_PORT",
            min=0,
            max=65535,
            help="0 picks a free one.",
        ),
    ] = 8090,
    tls_certificate: Annotated[
        Path | None,
        typer.Option(
            envvar="FLUXGATE_ADMIN_TLS_CERTIFICATE", help="PEM file; serves by HTTPS, with its key."
        ),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="FLUXGATE_ADMIN_TLS_KEY", help="PEM file.")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(
            envvar="FLUXGATE_NAMESPACE",
            help="Where the controllers, their Leases and their Secrets are; by default the pod's.",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            envvar="FLUXGATE_IDENTITY", help="Name of this process; by default the host name."
        ),
    ] = None,
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--watch-namespace",
            envvar="FLUXGATE_WATCH_NAMESPACES",
            help="As the controllers have it: once for each, in the variable separated by spaces.",
        ),
    ] = None,
    kubeconfig: cluster.Kubeconfig = None,
    context: cluster.Context = None,
    ingress_class: Annotated[
        str,
        typer.Option(envvar="FLUXGATE_INGRESS_CLASS", help="As the controllers have it."),
    ] = "fluxgate",
    service: Annotated[
        str,
        typer.Option(
            envvar="FLUXGATE_SERVICE", help="Service of the controllers, by which they are known."
        ),
    ] = "fluxgate-controller",
    tls_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="FLUXGATE_TLS_DIR",
            help="Folder with ca.crt, tls.crt and tls.key made by others, to talk to controllers with.",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="FLUXGATE_INSECURE",
            help="No TLS towards controllers; on loopback only.",
        ),
    ] = False,
    http_address: Annotated[
        str, typer.Option(envvar="FLUXGATE_HTTP_ADDRESS", help="For probes and metrics.")
    ] = "127.0.0.1",
    http_port: Annotated[
        int,
        typer.Option(
            envvar="FLUXGATE_HTTP_PORT",
            min=0,
            max=65535,
            help="Of /livez, /readyz and /metrics; 0 picks a free one.",
        ),
    ] = 8081,
    envoy: options.EnvoyPath = None,
    log_format: LogFormatOption = LogFormat.CONSOLE,
    log_level: LogLevelOption = LogLevel.INFO,
) -> None:
    """Serve the admin API of a cluster until a signal. Its other settings come from the environment.

    \b
    Examples:
      fluxgate admin serve --database postgresql+psycopg://fluxgate@db/fluxgate
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin.cluster import AdminOfCluster, serve_cluster  # noqa: PLC0415 - 1 s no other command needs
    from fluxgate_cli.admin.process import Place  # noqa: PLC0415

    if (tls_certificate is None) != (tls_key is None):
        raise UsageError("--tls-certificate and --tls-key come together")
    settings = ControllerSettings(
        namespace=namespace or own_namespace(),
        identity=identity or socket.gethostname(),
        cluster=ClusterSettings(
            kubeconfig=kubeconfig,
            context=context,
            namespaces=tuple(watch_namespace or ()),
            ingress_class=ingress_class,
        ),
        http_address=http_address,
        http_port=http_port,
        tls_dir=tls_dir,
        insecure=insecure,
        service=service,
        envoy_path=envoy,
    )
    admin = AdminOfCluster(
        Place(address, port, tls_certificate, tls_key),
        Given(database, master_key_file),
    )
    log = make_logger(log_format, log_level, colours=console(stderr=True).color_system is not None)
    is_json = log_format is LogFormat.JSON
    asyncio.run(serve_cluster(settings, admin, log, _announce, log.info if is_json else say))


def bootstrap(
    database: admin_options.Database = "",
    master_key_file: admin_options.MasterKeyFile = None,
    state_dir: options.StateDir = options.DEFAULT_STATE,
    organisation: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    name: Annotated[str, typer.Option(help="What to call it.")] = "bootstrap",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow", help="A CIDR it may be used from, once for each; by default loopback alone."
        ),
    ] = None,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Make the first key, which may everything, and print it: this once, and never again.

    \b
    Examples:
      fluxgate admin bootstrap                        for `fluxgate run` with this state folder
      fluxgate admin bootstrap --allow 10.0.0.0/8     to be used from there, too
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_admin.errors import AdminError  # noqa: PLC0415 - 0.5 s no other command needs
    from fluxgate_cli.admin import store  # noqa: PLC0415
    from fluxgate_cli.admin.beside import default_database  # noqa: PLC0415
    from fluxgate_cli.admin.environment import settings_from  # noqa: PLC0415

    given = Given(database, master_key_file)
    settings = settings_from(os.environ, given, default_database(state_dir))
    log = make_logger(LogFormat.CONSOLE, LogLevel.WARNING, colours=False)

    async def make() -> tuple[str, str, str]:
        await store.prepare(settings, log)
        try:
            issued = await store.first_key(
                settings, log, name=name, organisation=organisation, addresses=tuple(allow or ())
            )
        except AdminError as error:
            raise UsageError(error.message) from None
        key, secret = issued.text.reveal().decode(), issued.signing_secret.reveal().decode()
        return issued.key.id, key, secret

    key_id, key, secret = asyncio.run(make())
    say("keep both: they are not shown again")
    if output is OutputFormat.JSON:
        print_json({"id": key_id, "key": key, "signing_secret": secret})
    else:
        print_data(f"key:            {key}\nsigning secret: {secret}")


def migrate(
    database: admin_options.Database = "",
    state_dir: options.StateDir = options.DEFAULT_STATE,
) -> None:
    """Bring the database up to date; several may do so at once. Needs no master key.

    \b
    Examples:
      fluxgate admin migrate --database postgresql+psycopg://fluxgate@db/fluxgate
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_admin.db.migrate import head  # noqa: PLC0415 - 0.5 s no other command needs
    from fluxgate_cli.admin import store  # noqa: PLC0415
    from fluxgate_cli.admin.beside import default_database  # noqa: PLC0415

    log = make_logger(LogFormat.CONSOLE, LogLevel.WARNING, colours=False)
    asyncio.run(store.upgrade(database or default_database(state_dir), log))
    print_data(f"at revision {head()}")


def _announce(admin: str, http_port: int) -> None:
    """The line scripts wait for."""
    print_data(f"ready: admin={admin} http={http_port}")
