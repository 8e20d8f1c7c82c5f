"""``fluxgate diff``: what an apply of a folder would change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from fluxgate_cli import options
from fluxgate_cli.errors import CliError, ExitCode, InvalidResourcesError
from fluxgate_cli.output import DataFormat, print_json, print_yaml, say

DRIFT = 2
FAILED = 1
EPILOG = (
    "Exit codes: 0 no difference, 1 any error, wrong usage too, 2 differences, 130 interrupted."
)

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="Folder with the resources as YAML files.", show_default=False
    ),
]
SetName = Annotated[
    str | None,
    typer.Option(
        "--set",
        envvar="FLUXGATE_SET",
        help="The set these objects belong to, kept in the label gateway.fluxgate.io/managed-by.",
    ),
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete objects of the set that the folder does not have.")
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Also objects that belong to another set.")
]
DefaultNamespace = Annotated[
    str | None,
    typer.Option(
        "--namespace",
        "-n",
        help="Where objects go that name no namespace; by default the context's, else default.",
    ),
]


class DiffCommand(TyperCommand):
    """A command whose every failure has the exit code 1, since 2 says that there are differences."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - click's own
        """Read the arguments."""
        with _failing_with_one():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - click's own
        """Run the command."""
        with _failing_with_one():
            return super().invoke(ctx)


@contextmanager
def _failing_with_one() -> Iterator[None]:
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except CliError as error:
        error.exit_code = ExitCode.INTERNAL
        raise
    except Exception as error:
        # click's own errors leave with theirs; which click it is, is typer's affair
        if hasattr(error, "exit_code"):
            error.exit_code = FAILED
        raise


def diff(
    folder: Folder,
    set_name: SetName = None,
    prune: Prune = False,
    take_over: TakeOver = False,
    namespace: DefaultNamespace = None,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Show what an apply of the folder would change, as unified diffs; change nothing.

    \b
    Examples:
      fluxgate diff config/ --set shop            exit code 2 when something differs
      fluxgate diff config/ --set shop --prune    also what would be deleted
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # all this takes 0.3 s to import, more than most other commands together
    from fluxgate_cli.declared import showing  # noqa: PLC0415
    from fluxgate_cli.declared.making import planned, refuse_trouble  # noqa: PLC0415
    from fluxgate_cli.declared.plan import Wishes  # noqa: PLC0415

    plan = planned(folder, Wishes(set_name, prune, take_over), namespace, api)
    if output is DataFormat.TABLE:
        for step in plan.steps:
            if text := showing.diff_of(step):
                showing.print_diff(text)
    elif output is DataFormat.JSON:
        print_json(showing.plan_data(plan.steps))
    else:
        print_yaml(showing.plan_data(plan.steps))
    say(showing.counted(plan.steps) or "the folder has no objects")
    refuse_trouble(plan, InvalidResourcesError)
    if any(each.action.writes for each in plan.steps):
        raise typer.Exit(DRIFT)
