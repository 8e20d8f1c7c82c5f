"""``fluxgate crds``: the CustomResourceDefinitions of this version."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from fluxgate.api.crd import build_crds
from fluxgate_cli import cluster
from fluxgate_cli.errors import EPILOG
from fluxgate_cli.files import write_atomically
from fluxgate_cli.output import print_data, print_table, say

if TYPE_CHECKING:
    from fluxgate_operator.crd_upgrade import CrdOutcome


def create_app() -> typer.Typer:
    """The command group; without a command it prints."""
    app = typer.Typer(epilog=EPILOG)
    app.callback(invoke_without_command=True)(crds)
    app.command("apply", epilog=EPILOG)(apply)
    return app


def crds(
    invoked: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write one file a kind into this folder instead."),
    ] = None,
) -> None:
    """Print the CustomResourceDefinitions, or apply them to a cluster.

    \b
    Examples:
      fluxgate crds apply                      install or upgrade them in a cluster
      fluxgate crds | kubectl apply -f -
      fluxgate crds --output crds/
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    if invoked.invoked_subcommand is not None:
        return
    documents = {name: _render(crd) for name, crd in build_crds().items()}
    if output is None:
        print_data("---\n".join(documents.values()))
        return
    for name, text in documents.items():
        write_atomically(output / f"{name}.yaml", text)
    say(f"wrote {len(documents)} files to {output}")


def apply(
    kubeconfig: cluster.Kubeconfig = None,
    context: cluster.Context = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.0, help="Seconds to wait until they are served."),
    ] = 60.0,
) -> None:
    """Apply this version's CustomResourceDefinitions and wait until they are served.

    Objects of these kinds stay as they are. Applying the same version again changes nothing.

    \b
    Example:
      fluxgate crds apply --context staging
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    done = asyncio.run(_apply(kubeconfig, context, timeout))
    print_table(("ACTION", "DEFINITION"), ((each.action, each.name) for each in done))


async def _apply(
    kubeconfig: Path | None, context: str | None, seconds: float
) -> tuple[CrdOutcome, ...]:
    from fluxgate_operator.crd_upgrade import apply_crds  # noqa: PLC0415 - as in cluster.connected

    async with cluster.connected(kubeconfig, context) as (client, _):
        return await apply_crds(client, build_crds().values(), seconds)


class _Dumper(yaml.SafeDumper):
    """Writes shared objects out in full: not every reader follows YAML anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the signature is PyYAML's
        return True


def _render(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=100)
