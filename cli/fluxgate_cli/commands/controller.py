"""``fluxgate controller``: one replica of the control plane on Kubernetes."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fluxgate_cli import options
from fluxgate_cli.errors import UsageError
from fluxgate_cli.logs import LogFormat, LogLevel, make_logger
from fluxgate_cli.output import console, print_data, say
from fluxgate_operator.settings import ClusterSettings, ControllerSettings, LeaseSettings

if TYPE_CHECKING:
    from fluxgate_operator.controller import Controller

_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_ADDRESS_HELP = "An IP address; anything but loopback needs certificates."


def controller(
    namespace: Annotated[
        str | None,
        typer.Option(
            envvar="FLUXGATE_NAMESPACE",
            help="Where the Lease and the Secrets of the controller are; by default the pod's.",
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            envvar="FLUXGATE_IDENTITY",
            help="Name of this replica, unlike any other's; by default the host name.",
        ),
    ] = None,
    pod_uid: Annotated[
        str,
        typer.Option(
            envvar="FLUXGATE_POD_UID",
            help="Uid of the pod named like this replica, with which its own Lease goes.",
        ),
    ] = "",
    advertise: Annotated[
        str,
        typer.Option(
            envvar="FLUXGATE_ADVERTISE", help="Address at which other replicas reach this one."
        ),
    ] = "127.0.0.1",
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(
            "--watch-namespace",
            envvar="FLUXGATE_WATCH_NAMESPACES",
            help="A namespace to watch, once for each; by default all. In the variable, separated by spaces.",
        ),
    ] = None,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(
            envvar="KUBECONFIG",
            help="By default the pod's ServiceAccount, outside a pod ~/.kube/config.",
        ),
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(envvar="FLUXGATE_CONTEXT", help="Context of the kubeconfig."),
    ] = None,
    ingress_class: Annotated[
        str,
        typer.Option(
            envvar="FLUXGATE_INGRESS_CLASS",
            help="IngressClass whose Ingresses are served; empty for none.",
        ),
    ] = "fluxgate",
    xds_address: Annotated[
        str, typer.Option(envvar="FLUXGATE_XDS_ADDRESS", help=_ADDRESS_HELP)
    ] = "127.0.0.1",
    xds_port: Annotated[
        int,
        typer.Option(envvar="FLUXGATE_XDS_PORT", min=0, max=65535, help="0 picks a free one."),
    ] = 18000,
    peer_port: Annotated[
        int,
        typer.Option(
            envvar="FLUXGATE_PEER_PORT",
            min=0,
            max=65535,
            help="For other replicas, and nodes with a client certificate; 0 picks a free one.",
        ),
    ] = 18001,
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
    webhook_address: Annotated[
        str, typer.Option(envvar="FLUXGATE_WEBHOOK_ADDRESS", help="Of the admission webhooks.")
    ] = "127.0.0.1",
    webhook_port: Annotated[
        int | None,
        typer.Option(
            envvar="FLUXGATE_WEBHOOK_PORT", min=0, max=65535, help="By default no webhooks."
        ),
    ] = None,
    tls_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="FLUXGATE_TLS_DIR",
            help="Folder with ca.crt, tls.crt and tls.key made by others, such as cert-manager.",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="FLUXGATE_INSECURE",
            help="No TLS towards nodes; on loopback only.",
        ),
    ] = False,
    service: Annotated[
        str,
        typer.Option(
            envvar="FLUXGATE_SERVICE", help="Service of the controller, for its certificates."
        ),
    ] = "fluxgate-controller",
    sidecar_image: Annotated[
        str,
        typer.Option(envvar="FLUXGATE_SIDECAR_IMAGE", help="Image of injected sidecars."),
    ] = "fluxgate",
    lease_duration: Annotated[
        float,
        typer.Option(
            envvar="FLUXGATE_LEASE_DURATION",
            min=1,
            help="Seconds after which another replica takes over from a leader that is gone.",
        ),
    ] = 15.0,
    watch_silence: Annotated[
        float,
        typer.Option(
            envvar="FLUXGATE_WATCH_SILENCE",
            min=1,
            help="Seconds after which a silent watch is taken for dead; an idle one is never silent for more than 60.",
        ),
    ] = 68.0,
    envoy: options.EnvoyPath = None,
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar="FLUXGATE_LOG_FORMAT", help="json: one object a line."),
    ] = LogFormat.CONSOLE,
    log_level: Annotated[
        LogLevel,
        typer.Option(envvar="FLUXGATE_LOG_LEVEL", help="The least important line that is written."),
    ] = LogLevel.INFO,
) -> None:
    """Serve the resources of a cluster to the Envoys that connect, until a signal.

    \b
    Examples:
      fluxgate controller                                    in a pod of the chart
      fluxgate controller --insecure --namespace default     on this machine, by ~/.kube/config
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.controlling import control  # noqa: PLC0415 - 0.5 s no other command needs

    settings = ControllerSettings(
        namespace=namespace or own_namespace(),
        identity=identity or socket.gethostname(),
        pod_uid=pod_uid,
        cluster=ClusterSettings(
            kubeconfig=kubeconfig,
            context=context,
            namespaces=tuple(watch_namespace or ()),
            ingress_class=ingress_class,
            watch_silence_seconds=watch_silence,
        ),
        advertise=advertise,
        xds_address=xds_address,
        xds_port=xds_port,
        peer_port=peer_port,
        http_address=http_address,
        http_port=http_port,
        webhook_address=webhook_address,
        webhook_port=webhook_port,
        tls_dir=tls_dir,
        insecure=insecure,
        service=service,
        sidecar_image=sidecar_image,
        lease=lease_settings(lease_duration),
        envoy_path=envoy,
    )
    log = make_logger(log_format, log_level, colours=console(stderr=True).color_system is not None)
    is_json = log_format is LogFormat.JSON
    asyncio.run(control(settings, log, _announce, log.info if is_json else say))


def lease_settings(duration: float) -> LeaseSettings:
    """A Lease of so many seconds; the other times in Kubernetes' usual proportion (15, 10, 2)."""
    usual = LeaseSettings()
    share = duration / usual.duration
    return LeaseSettings(
        duration=duration,
        renew_deadline=usual.renew_deadline * share,
        retry_period=usual.retry_period * share,
        poll_period=min(usual.poll_period, usual.retry_period * share),
    )


def own_namespace() -> str:
    """The namespace of the pod this runs in. Raises :class:`UsageError` outside of one."""
    try:
        return _SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
    except FileNotFoundError:
        raise UsageError(
            "outside a pod nobody can know its namespace",
            "Name one with --namespace or FLUXGATE_NAMESPACE.",
        ) from None


def _announce(running: Controller) -> None:
    """The line scripts wait for."""
    print_data(f"ready: xds={running.xds_port} http={running.http_port}")
