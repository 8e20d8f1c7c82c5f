"""``fluxgate bootstrap``: the file an Envoy on another machine starts with."""

from __future__ import annotations

import ipaddress
import secrets
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer
from google.protobuf.json_format import MessageToDict

from fluxgate.xds.probe import build_probe_listener
from fluxgate.xds.stats import stats_matcher
from fluxgate_cli.addresses import split_address
from fluxgate_cli.errors import UsageError
from fluxgate_cli.files import write_atomically
from fluxgate_cli.output import print_data

if TYPE_CHECKING:
    from fluxgate_operator.envoy.bootstrap import XdsTLS
    from fluxgate_operator.envoy.token_identity import TokenIdentity


def bootstrap(
    xds_address: Annotated[
        str, typer.Option("--xds-address", help="HOST:PORT of the control plane's xDS server.")
    ],
    gateway: Annotated[
        str,
        typer.Option("--gateway", help="The GatewayConfig to serve, as NAMESPACE/NAME or NAME."),
    ],
    node_id: Annotated[str, typer.Option("--node-id", help="Unique name of this Envoy.")],
    tls_ca: Annotated[
        Path | None, typer.Option("--tls-ca", help="PEM file, as Envoy will find it.")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="PEM file, as Envoy will find it.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="PEM file, as Envoy will find it.")
    ] = None,
    tls_server_name: Annotated[
        str, typer.Option("--tls-server-name", help="Name in the server's certificate.")
    ] = "",
    token_folder: Annotated[
        Path | None,
        typer.Option(
            "--token-folder",
            help="Prove who Envoy is by a ServiceAccount's token: the folder with token, "
            "token.json, ca.crt and ca.json, as Envoy will find it.",
        ),
    ] = None,
    admin_address: Annotated[
        str, typer.Option("--admin-address", help="HOST:PORT of Envoy's admin interface.")
    ] = "127.0.0.1:9901",
    admin_socket: Annotated[
        Path | None,
        typer.Option(
            "--admin-socket", help="A Unix socket for it instead, which no other can reach."
        ),
    ] = None,
    probe_address: Annotated[
        str,
        typer.Option(
            "--probe-address",
            help="HOST:PORT where the control plane can ask this Envoy what it serves.",
        ),
    ] = "",
    metrics_address: Annotated[
        str,
        typer.Option("--metrics-address", help="HOST:PORT where Prometheus may scrape this Envoy."),
    ] = "",
    health_address: Annotated[
        str,
        typer.Option(
            "--health-address",
            help="HOST:PORT where the control plane can ask this Envoy how its targets are.",
        ),
    ] = "",
    zone: Annotated[
        str, typer.Option("--zone", help="Where this Envoy runs, for pools that stay in a zone.")
    ] = "",
    concurrency: Annotated[
        int, typer.Option("--envoy-concurrency", min=1, help="Worker threads of this Envoy.")
    ] = 1,
    relay_address: Annotated[
        str,
        typer.Option(
            "--relay-address",
            help="HOST:PORT on loopback where this Envoy passes xDS on, and serves nothing else: "
            "for the rate limit service beside it.",
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it into this file instead.")
    ] = None,
) -> None:
    """Print the bootstrap of an Envoy that connects to a control plane elsewhere.

    \b
    Example:
      fluxgate bootstrap --xds-address 127.0.0.1:18000 --gateway main --node-id a
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # the typed messages take 0.3 s to import, more than all other commands together
    from fluxgate_operator.envoy.bootstrap import (  # noqa: PLC0415
        BootstrapOptions,
        render_bootstrap,
    )

    host, port = split_address(xds_address, "--xds-address")
    files = (tls_ca, tls_cert, tls_key)
    if token_folder is not None and any(files):
        raise UsageError("--token-folder replaces --tls-ca, --tls-cert and --tls-key")
    token = None if token_folder is None else _token(token_folder, tls_server_name or host)
    tls = None if token is not None else _tls(host, files, tls_server_name)
    probe = split_address(probe_address, "--probe-address") if probe_address else None
    metrics = split_address(metrics_address, "--metrics-address") if metrics_address else None
    health = split_address(health_address, "--health-address") if health_address else None
    relay = split_address(relay_address, "--relay-address") if relay_address else None
    if relay is not None and not _is_loopback(relay[0]):
        raise UsageError(f"--relay-address {relay_address}: what passes there is plain text")
    listener = None if probe is None else MessageToDict(build_probe_listener(*probe))
    text = render_bootstrap(
        BootstrapOptions(
            node_id=node_id,
            gateway=gateway.removeprefix("default/"),
            xds_host=host,
            xds_port=port,
            admin=admin_socket or split_address(admin_address, "--admin-address"),
            concurrency=concurrency,
            xds_tls=tls,
            xds_token=token,
            probe=probe,
            probe_listener=listener,
            metrics=metrics,
            health=health,
            health_token=secrets.token_hex(16) if health else "",
            zone=zone,
            stats_matcher=MessageToDict(stats_matcher()),
            relay=relay,
        )
    )
    if output is None:
        print_data(text)
    else:
        write_atomically(output, text)


def _token(folder: Path, server_name: str) -> TokenIdentity:
    from fluxgate_operator.envoy.token_identity import TokenIdentity  # noqa: PLC0415 - as above

    return TokenIdentity(server_name, PurePosixPath(folder))


def _tls(host: str, files: tuple[Path | None, ...], server_name: str) -> XdsTLS | None:
    from fluxgate_operator.envoy.bootstrap import XdsTLS  # noqa: PLC0415 - as above

    ca, certificate, key = files
    if ca is not None and certificate is not None and key is not None:
        return XdsTLS(ca, certificate, key, server_name or host)
    if any(files):
        raise UsageError("mutual TLS needs --tls-ca, --tls-cert and --tls-key together")
    if not _is_loopback(host):
        raise UsageError(
            f"{host} is not this machine, and xDS in plain text is for loopback only",
            "Give --tls-ca, --tls-cert and --tls-key.",
        )
    return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
