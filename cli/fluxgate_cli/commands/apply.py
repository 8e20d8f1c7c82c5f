"""``fluxgate apply``: make an API have what a folder says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fluxgate_cli import options
from fluxgate_cli.commands.diff import DefaultNamespace, Folder, Prune, SetName, TakeOver
from fluxgate_cli.errors import InvalidResourcesError, NotReadyError, UsageError
from fluxgate_cli.output import DataFormat, console, print_as, say

if TYPE_CHECKING:
    from fluxgate_cli.admin_client.api import AdminApi
    from fluxgate_cli.declared.applying import Applied, How
    from fluxgate_cli.declared.making import Plan

FEW = 20
"""Fewer writes are made before a progress bar could be read."""


def apply(
    folder: Folder,
    set_name: SetName = None,
    prune: Prune = False,
    take_over: TakeOver = False,
    namespace: DefaultNamespace = None,
    dry_run: options.DryRun = False,
    wait: options.Wait = True,
    timeout: options.Timeout = 60.0,
    reason: options.Reason = "",
    force: Annotated[
        bool, typer.Option("--force", help="With --prune: also what objects elsewhere use.")
    ] = False,
    show_all: Annotated[bool, typer.Option("--all", help="List what is unchanged, too.")] = False,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Create and change objects until the API has what the folder says; with --prune, delete others of the set.

    Running it again changes nothing. An object that is refused does not stop the others.

    \b
    Examples:
      fluxgate apply config/ --set shop
      fluxgate apply config/ --set shop --prune --reason 'release 42'
      fluxgate apply config/ --set shop --dry-run    checked by the real Envoy
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # all this takes 0.3 s to import, more than most other commands together
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415
    from fluxgate_cli.declared.applying import How  # noqa: PLC0415
    from fluxgate_cli.declared.making import planned_by  # noqa: PLC0415
    from fluxgate_cli.declared.plan import Wishes  # noqa: PLC0415

    how = How(reason, dry_run, wait, timeout, force)
    with connected(api) as connection:
        plan = planned_by(connection, folder, Wishes(set_name, prune, take_over), namespace)
        if plan.declared.problems and prune:
            raise InvalidResourcesError(
                f"files in {folder} cannot be read, so what is missing there may be missing by mistake",
                "Mend them, or apply without --prune.",
            )
        applied = carry_out(connection, plan, how)
    show(plan, applied, output, show_all=show_all)
    judge(plan, applied, how)


def carry_out(api: AdminApi, plan: Plan, how: How) -> Applied:
    """Make the writes of a plan, with a progress bar where somebody looks."""
    from fluxgate_cli.declared.applying import MOST_AT_ONCE, apply_steps  # noqa: PLC0415 - as above

    writes = sum(each.action.writes for each in plan.steps)
    if how.dry_run and writes > MOST_AT_ONCE:
        raise UsageError(
            f"a dry run takes at most {MOST_AT_ONCE} changes, and these are {writes}",
            "See them with 'fluxgate diff', or check the folder with 'fluxgate validate'.",
        )
    with _progress(writes) as advance:
        return apply_steps(api, plan.steps, how, advance)


def show(plan: Plan, applied: Applied, output: DataFormat, *, show_all: bool) -> None:
    """Print what became of each object."""
    from fluxgate_cli.declared import showing  # noqa: PLC0415 - as above
    from fluxgate_cli.declared.applying import Result  # noqa: PLC0415
    from fluxgate_cli.declared.plan import Action  # noqa: PLC0415

    foreign = [
        Result(each, "refused", f"belongs to the set {each.owner!r}") for each in plan.foreign
    ]
    others = [
        Result(each, each.action.value)
        for each in plan.steps
        if each.action in (Action.KEEP, Action.EXTRA)
    ]
    results = [*applied.results, *foreign, *others]
    listed = [
        each
        for each in results
        if show_all or each.bad or each.outcome not in ("unchanged", "extra")
    ]
    data = {
        "results": showing.result_data(results if output is not DataFormat.TABLE else listed),
        "sync_status": applied.sync_status or None,
        "pending_nodes": list(applied.pending),
        "stopped": None if applied.stopped is None else str(applied.stopped),
    }
    if listed or output is not DataFormat.TABLE:
        print_as(output, data, showing.RESULT_COLUMNS, showing.result_rows(listed))


def judge(plan: Plan, applied: Applied, how: How) -> None:
    """Say how it went; raise when an object is not as the folder says, or not served everywhere."""
    from fluxgate_cli.declared.making import refuse_trouble  # noqa: PLC0415 - as above

    for warning in applied.warnings:
        say(f"warning: {warning}")
    if applied.stopped is not None:
        raise applied.stopped
    bad = sum(each.bad for each in applied.results)
    if bad:
        raise InvalidResourcesError(f"{bad} of {len(applied.results)} changes were refused")
    refuse_trouble(plan, InvalidResourcesError)
    done = sum(each.outcome != "unchanged" for each in applied.results)
    kept = len(plan.steps) - done
    if how.dry_run:
        say(f"{done} would change, {kept} are as they shall be; nothing was changed")
        return
    if how.wait and applied.sync_status not in ("", "propagated_to_all_nodes"):
        why = applied.sync_message or "; ".join(applied.pending)
        raise NotReadyError(
            f"{done} changed, and not every node serves them yet ({applied.sync_status})", why
        )
    served = ", every node serves them" if how.wait and done else ""
    say(f"{done} changed, {kept} were as they shall be{served}")


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    screen = console(stderr=True)
    if not screen.is_terminal or total < FEW:
        yield lambda _: None
        return
    columns = (TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda count: bar.advance(task, count)
