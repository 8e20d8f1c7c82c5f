"""``fluxgate dump``: what an API has, as YAML files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from fluxgate_cli import options
from fluxgate_cli.errors import RefusedError, UsageError
from fluxgate_cli.output import print_data, say

if TYPE_CHECKING:
    from fluxgate.ports.resources import Document
    from fluxgate.resources import ObjectRef


def dump(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Write one file an object there; without it everything goes to standard output.",
            show_default=False,
        ),
    ] = None,
    set_name: Annotated[
        str | None,
        typer.Option("--set", envvar="FLUXGATE_SET", help="Only the objects of this set."),
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only this kind; repeatable.")
    ] = None,
    namespace: options.Namespace = None,
    no_namespace: Annotated[
        bool,
        typer.Option(
            "--no-namespace",
            help="Leave out the one namespace they are in, so that an apply can say another.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")
    ] = False,
    api: options.Api = None,
) -> None:
    """Write every object as its user would: an apply of the dump changes nothing.

    \b
    Examples:
      fluxgate dump config/
      fluxgate dump --kind Route -n shop
      fluxgate dump backup/ --set shop
      fluxgate dump copy/ -n shop --no-namespace    for 'fluxgate apply copy/ -n staging'
    """  # noqa: D301 - click's mark of a paragraph to leave as it is
    from fluxgate_cli.admin_client.api import connected  # noqa: PLC0415 - 0.3 s for other commands
    from fluxgate_cli.declared.plan import MANAGED_BY  # noqa: PLC0415
    from fluxgate_cli.declared.present import read_kinds  # noqa: PLC0415

    kinds = _kinds(kind or [])
    if folder is not None and folder.exists() and not overwrite and _is_full(folder):
        raise UsageError(f"{folder} is not an empty folder", "Name another one, or --overwrite.")
    with connected(api, namespace) as connection:
        label = None if set_name is None else f"{MANAGED_BY}={set_name}"
        where = namespace or connection.context.namespace
        if no_namespace and where is None:
            raise UsageError("--no-namespace needs --namespace NAME", "Names are unique in one.")
        found = read_kinds(connection, kinds, where, label)
    objects = [found.objects[ref] for ref in sorted(found.objects)]
    texts = {each.ref: _text(each.document, named=not no_namespace) for each in objects}
    if folder is None:
        print_data("---\n".join(texts.values()))
    else:
        for ref, text in texts.items():
            _write(folder, ref, text, named=not no_namespace)
        say(f"{len(objects)} objects are in {folder}")
    if found.unreadable:
        raise RefusedError(
            f"this credential may not read every kind: {', '.join(found.unreadable)} is missing",
            "Name the kinds you want with --kind.",
            status=403,
        )


def _kinds(named: list[str]) -> tuple[str, ...]:
    from fluxgate_cli.declared.present import ALL_KINDS  # noqa: PLC0415 - as above

    known = {each.lower(): each for each in ALL_KINDS}
    for each in named:
        if each.lower() not in known:
            raise UsageError(f"there is no kind {each!r}", f"Known: {', '.join(ALL_KINDS)}.")
    return tuple(known[each.lower()] for each in named) or ALL_KINDS


def _is_full(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())


def _write(folder: Path, ref: ObjectRef, text: str, *, named: bool) -> None:
    from fluxgate.api.v1alpha1 import KINDS  # noqa: PLC0415 - as above
    from fluxgate_cli.files import write_atomically  # noqa: PLC0415

    plurals = {each.model_fields["kind"].default: each.plural for each in KINDS}
    name = f"{ref.namespace}.{ref.name}" if named else ref.name
    write_atomically(folder / plurals[ref.kind] / f"{name}.yaml", text)


def _text(document: Document, *, named: bool) -> str:
    from fluxgate_cli.declared.showing import plain  # noqa: PLC0415 - as above

    document = plain(document) or document
    if not named:
        metadata = {key: each for key, each in document["metadata"].items() if key != "namespace"}
        document = {**document, "metadata": metadata}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
