"""``fluxgate routes``: routes of the admin API, the public route catalogue, the Routes of a cluster."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from fluxgate_cli import catalogs, cluster, options
from fluxgate_cli.admin_client import route_commands
from fluxgate_cli.errors import EPILOG, InvalidResourcesError, NotReadyError
from fluxgate_cli.output import OutputFormat, print_data, print_json, print_table, say, truth

if TYPE_CHECKING:
    from fluxgate_operator.catalog.check import Verdict
    from fluxgate_operator.catalog.document import Entry
    from fluxgate_operator.catalog.reconcile import CatalogOwner, Outcome
    from fluxgate_operator.kube.client import KubeClient

LOOK_EVERY = 0.5
"""Seconds between two looks of ``check --wait``."""

Catalogs = Annotated[
    list[Path] | None,
    typer.Option("--catalog", "-f", help="A public-route-catalog.json; repeatable."),
]
Folders = Annotated[
    list[Path] | None, typer.Option("--from", help="A folder with Routes as YAML; repeatable.")
]
Owner = Annotated[
    str,
    typer.Option("--owner", help="Who owns these routes; others' routes are never touched."),
]


_HELP = """Routes of the admin API; and a cluster's routes as a catalogue says (reconcile, check, export, import).

\b
Examples:
  fluxgate routes list
  fluxgate routes create orders --path '/orders/*' --upstream http://127.0.0.1:9000
  fluxgate routes reconcile --owner shop --catalog public-route-catalog.json
  fluxgate routes export -n shop > public-route-catalog.json
"""


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    for name, command in (
        ("list", route_commands.list_),
        ("get", route_commands.get),
        ("create", route_commands.create),
        ("update", route_commands.update),
        ("delete", route_commands.delete),
        ("reconcile", reconcile),
        ("check", check),
        ("export", export),
        ("import", import_),
    ):
        app.command(name, epilog=EPILOG)(command)
    return app


def reconcile(
    owner: Owner,
    catalog: Catalogs = None,
    from_: Folders = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the owner's routes that no catalogue has.")
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="No catalogue at all: with --prune, delete every one.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the API server say what would happen.")
    ] = False,
    namespace: cluster.Namespace = None,
    kubeconfig: cluster.Kubeconfig = None,
    context: cluster.Context = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.0, help="Seconds to wait for an API server not ready yet."),
    ] = 60.0,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Create, update and delete Routes until the cluster has what the catalogue says.

    Running it again changes nothing. Only routes labelled with the owner are touched.

    \b
    Examples:
      fluxgate routes reconcile --owner shop --catalog public-route-catalog.json --prune
      fluxgate routes reconcile --owner shop --from routes/ --dry-run
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    if not empty:
        catalogs.need_source(catalog or (), from_ or ())
    entries = catalogs.read_entries(catalog or (), from_ or (), namespace)

    async def work() -> tuple[Outcome, ...]:
        from fluxgate_operator.catalog.reconcile import CatalogOwner  # noqa: PLC0415

        async with cluster.connected(kubeconfig, context) as (client, own):
            whose = CatalogOwner(owner, namespace or own, prune, dry_run)
            return await _patiently(client, entries, whose, timeout)

    _report(asyncio.run(work()), output)


def check(
    catalog: Catalogs = None,
    from_: Folders = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when all of them are served.")
    ] = False,
    timeout: options.Timeout = 60.0,
    namespace: cluster.Namespace = None,
    kubeconfig: cluster.Kubeconfig = None,
    context: cluster.Context = None,
    output: options.Output = OutputFormat.TABLE,
) -> None:
    """Compare the catalogue with what is served: every route there, equal, and Programmed.

    \b
    Example:
      fluxgate routes check --catalog public-route-catalog.json --wait
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    catalogs.need_source(catalog or (), from_ or ())
    entries = catalogs.read_entries(catalog or (), from_ or (), namespace)
    deadline = time.monotonic() + timeout if wait else 0.0

    async def work() -> tuple[Verdict, ...]:
        from fluxgate_operator.catalog.check import check as compare  # noqa: PLC0415

        async with cluster.connected(kubeconfig, context) as (client, own):
            while True:
                verdicts = await compare(client, entries, namespace or own)
                if all(each.served for each in verdicts) or time.monotonic() > deadline:
                    return verdicts
                await asyncio.sleep(LOOK_EVERY)

    _judge(asyncio.run(work()), output)


def export(
    from_: Folders = None,
    owner: Annotated[
        str | None, typer.Option("--owner", help="Only the routes of this owner.")
    ] = None,
    namespace: cluster.Namespace = None,
    kubeconfig: cluster.Kubeconfig = None,
    context: cluster.Context = None,
) -> None:
    """Print Routes, of a cluster's namespace or of a folder, as a catalogue.

    \b
    Examples:
      fluxgate routes export -n shop > public-route-catalog.json
      fluxgate routes export --from routes/ > public-route-catalog.json
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_operator.catalog.document import (  # noqa: PLC0415 - as in cluster.connected
        OWNER_LABEL,
        entry_of,
        render_catalog,
    )

    async def work() -> tuple[Entry, ...]:
        from fluxgate_operator.catalog.reconcile import ROUTES  # noqa: PLC0415

        selector = f"{OWNER_LABEL}={owner}" if owner else ""
        async with cluster.connected(kubeconfig, context) as (client, own):
            listing = await client.list(ROUTES, namespace or own, label_selector=selector)
        return tuple(entry_of(each) for each in listing.items)

    entries = catalogs.read_entries((), from_, namespace) if from_ else asyncio.run(work())
    print_data(render_catalog(entries))


def import_(
    catalog: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Catalogues.", show_default=False)
    ],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="The namespace to write into the objects.")
    ] = "default",
    owner: Annotated[
        str | None, typer.Option("--owner", help="Mark them as this owner's routes.")
    ] = None,
) -> None:
    """Print a catalogue as Route objects, ready for kubectl apply; change nothing.

    \b
    Example:
      fluxgate routes import public-route-catalog.json -n shop | kubectl apply -f -
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    entries = catalogs.read_entries(catalog, (), None)
    print_data(
        yaml.safe_dump_all(
            (each.as_route(namespace, owner) for each in entries), sort_keys=False, width=100
        )
    )


async def _patiently(
    client: KubeClient, entries: tuple[Entry, ...], whose: CatalogOwner, seconds: float
) -> tuple[Outcome, ...]:
    """Reconcile; wait while the kind is not served yet, as right after its definition was made."""
    from fluxgate_operator.catalog.reconcile import reconcile as run  # noqa: PLC0415
    from fluxgate_operator.kube.errors import (  # noqa: PLC0415
        NotFoundError,
        TooManyRequestsError,
    )

    deadline = time.monotonic() + seconds
    while True:
        try:
            return await run(client, entries, whose)
        except (NotFoundError, TooManyRequestsError) as error:
            pause = error.retry_after or 1.0
            if time.monotonic() + pause > deadline:
                raise
            await asyncio.sleep(pause)


def _report(outcomes: tuple[Outcome, ...], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print_json([{"action": o.action, "name": o.name, "message": o.message} for o in outcomes])
    elif outcomes:
        print_table(
            ("ACTION", "ROUTE", "WHY"), ((str(o.action), o.name, o.message) for o in outcomes)
        )
    bad = sum(each.action.bad for each in outcomes)
    if bad:
        raise InvalidResourcesError(
            f"{bad} of {len(outcomes)} routes are not as the catalogue says"
        )
    say(f"{len(outcomes)} routes are as the catalogue says")


def _judge(verdicts: tuple[Verdict, ...], output: OutputFormat) -> None:
    if output is OutputFormat.JSON:
        print_json([{"name": v.name, "served": v.served, "message": v.message} for v in verdicts])
    elif verdicts:
        print_table(
            ("SERVED", "ROUTE", "WHY"), ((truth(v.served), v.name, v.message) for v in verdicts)
        )
    missing = sum(not each.served for each in verdicts)
    if missing:
        raise NotReadyError(
            f"{missing} of {len(verdicts)} routes are not served as the catalogue says"
        )
    say(f"all {len(verdicts)} routes are served")
