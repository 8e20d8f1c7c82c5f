"""``fluxgate history``: who changed what, and the way back."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fluxgate_cli import options
from fluxgate_cli.errors import EPILOG
from fluxgate_cli.output import DataFormat, print_as, print_json, print_yaml

HISTORY = "/v2/history"
Revision = Annotated[int, typer.Argument(metavar="REVISION", min=1, show_default=False)]
_HELP = """Every change of an object, whichever way it came in.

\b
Examples:
  fluxgate history list --kind Route --name orders
  fluxgate history diff 41
  fluxgate history rollback 41 --to before
"""


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    for name, command in (("list", list_), ("get", get), ("diff", diff), ("rollback", rollback)):
        app.command(name, epilog=EPILOG)(command)
    return app


def list_(
    kind: Annotated[str | None, typer.Option("--kind", help="Only of this kind.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Only of this object; with --kind.")
    ] = None,
    author: Annotated[str | None, typer.Option("--author", help="Only by this author.")] = None,
    namespace: options.Namespace = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """List revisions, newest first.

    \b
    Example:
      fluxgate history list -n shop --limit 10
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.1 s for other commands

    with connected(api, namespace) as connection:
        query = {
            "kind": kind,
            "name": name,
            "author": author,
            "namespace": namespace or connection.context.namespace,
        }
        found = list(connection.pages(HISTORY, query, limit))
    columns = ("REVISION", "AT", "CHANGE", "OBJECT", "AUTHOR", "REASON")
    rows = (
        (
            str(each["revision"]),
            each["at"],
            each["change"],
            _name(each["object"]),
            each["author"] or "-",
            each["reason"],
        )
        for each in found
    )
    print_as(output, found, columns, rows)


def get(
    revision: Revision,
    namespace: options.ActIn = None,
    output: options.DataOutput = DataFormat.YAML,
    api: options.Api = None,
) -> None:
    """Show a revision with the object before and after it.

    \b
    Example:
      fluxgate history get 41
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above
    from fluxgate_cli.admin_client.writes import print_object  # noqa: PLC0415

    with connected(api, namespace) as connection:
        found = connection.get(f"{HISTORY}/{revision}")
    print_object(found, output)


def diff(
    revision: Revision,
    namespace: options.ActIn = None,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Show what a revision changed, as a unified diff. The exit code is 0 whether it changed much or little.

    \b
    Example:
      fluxgate history diff 41
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above
    from fluxgate_cli.declared.showing import print_diff  # noqa: PLC0415

    with connected(api, namespace) as connection:
        found = connection.get(f"{HISTORY}/{revision}/diff")
    match output:
        case DataFormat.TABLE:
            print_diff(found["diff"])
        case DataFormat.JSON:
            print_json(found)
        case DataFormat.YAML:
            print_yaml(found)


def rollback(
    revision: Revision,
    to: Annotated[
        str,
        typer.Option("--to", help="after: as this revision made it; before: as it was until then."),
    ] = "after",
    force: options.Force = False,
    namespace: options.ActIn = None,
    reason: options.Reason = "",
    dry_run: options.DryRun = False,
    wait: options.Wait = True,
    timeout: options.Timeout = 60.0,
    output: options.DataOutput = DataFormat.TABLE,
    api: options.Api = None,
) -> None:
    """Make an object what it was; that is a change like any other, and a revision of its own.

    \b
    Examples:
      fluxgate history rollback 41               as revision 41 made it
      fluxgate history rollback 41 --to before   take revision 41 back
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - as above
    from fluxgate_cli.admin_client.writes import Write, tell  # noqa: PLC0415

    write = Write(reason, dry_run, wait, timeout, force)
    with connected(api, namespace) as connection:
        path = f"{HISTORY}/{revision}/rollback"
        tell(write.ask(connection, "POST", path, {"state": to}), output, f"revision {revision}")


def _name(ref: dict[str, Any]) -> str:
    return f"{ref['kind']} {ref['namespace']}/{ref['name']}"
