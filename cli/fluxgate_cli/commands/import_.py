"""``fluxgate import openapi``: an OpenAPI document as objects of the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from fluxgate_cli.errors import EPILOG, InvalidResourcesError, UsageError
from fluxgate_cli.files import write_atomically
from fluxgate_cli.output import print_data, say

_HELP = """Make objects of what describes an API elsewhere.

\b
Example:
  fluxgate import openapi petstore.yaml --to config/
"""
_FILES = {"Backend": "backends.yaml", "Plugin": "plugins.yaml", "Route": "routes.yaml"}


def create_app() -> typer.Typer:
    """The command group."""
    app = typer.Typer(help=_HELP, no_args_is_help=True, epilog=EPILOG)
    app.command("openapi", epilog=EPILOG)(openapi)
    app.callback()(_group)  # so that one command alone stays a command of a group
    return app


def _group() -> None: ...


def openapi(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="OpenAPI 3.0 or 3.1, YAML or JSON.", show_default=False
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Write files there; without it to standard output."),
    ] = None,
    name: Annotated[
        str, typer.Option("--name", help="How the objects' names begin; by default as the title.")
    ] = "",
    namespace: Annotated[str | None, typer.Option("--namespace", "-n")] = None,
    upstream: Annotated[
        str | None, typer.Option("--upstream", help="Where requests go instead of the servers.")
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Only requests for this host; repeatable.")
    ] = None,
    jwt_issuer: Annotated[
        str | None, typer.Option("--jwt-issuer", help="Of bearer tokens whose scheme names none.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Write nothing when something cannot be expressed.")
    ] = False,
) -> None:
    """Print an OpenAPI document as Backends, Plugins and Routes, and say what they cannot express.

    A route whose security cannot be expressed is written switched off. The exit code is 3 when an object is not valid,
    or with --strict when anything is lost.

    \b
    Examples:
      fluxgate import openapi petstore.yaml --to config/
      fluxgate import openapi petstore.json --upstream http://127.0.0.1:9000 | less
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    # the models take 0.3 s to import
    from fluxgate_cli.openapi.document import read_openapi  # noqa: PLC0415
    from fluxgate_cli.openapi.importing import Wishes, import_openapi  # noqa: PLC0415

    wishes = Wishes(name, namespace, upstream, jwt_issuer, tuple(host or ()))
    found = import_openapi(read_openapi(file), wishes)
    lost = [each for each in found.notes if each.lost]
    if strict and lost:
        _tell(found.notes)
        raise InvalidResourcesError(f"{len(lost)} things in {file} cannot be expressed")
    _write(list(found.documents), to, overwrite=overwrite)
    _tell(found.notes)
    counts = ", ".join(
        f"{sum(each['kind'] == kind for each in found.documents)} {kind}s" for kind in _FILES
    )
    say(f"{counts}; {len(lost)} things could not be expressed")
    if not found.documents:
        raise InvalidResourcesError(f"{file} holds no operation")
    if found.invalid:
        raise InvalidResourcesError(
            f"{found.invalid} objects are not valid as they are", "Mend them."
        )


def _write(documents: list[dict[str, Any]], to: Path | None, *, overwrite: bool) -> None:
    if to is None:
        print_data("---\n".join(map(_text, documents)))
        return
    files = {kind: to / file for kind, file in _FILES.items()}
    there = [path for path in files.values() if path.exists()]
    if there and not overwrite:
        raise UsageError(f"{there[0]} is there already", "Name another folder, or --overwrite.")
    for kind, path in files.items():
        chosen = [each for each in documents if each["kind"] == kind]
        if chosen:
            write_atomically(path, "---\n".join(map(_text, chosen)))


def _tell(notes: Any) -> None:  # noqa: ANN401 - of a module that is imported where it is needed
    for each in notes:
        say(
            f"{'lost: ' if each.lost else 'note: '}{each.place}: {each.message}".replace(": :", ":")
        )


def _text(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
