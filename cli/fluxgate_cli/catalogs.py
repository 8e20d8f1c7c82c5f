"""Where the commands of ``fluxgate routes`` read a catalogue from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fluxgate.api.v1alpha1 import Route
from fluxgate_cli.errors import InvalidResourcesError, UsageError
from fluxgate_cli.folder import load_folder

if TYPE_CHECKING:
    from fluxgate_operator.catalog.document import Entry


def read_entries(
    catalogs: Iterable[Path], folders: Iterable[Path], namespace: str | None
) -> tuple[Entry, ...]:
    """Everything the files and the folders of Routes say, by name.

    Raises :class:`InvalidResourcesError` with all that is wrong, before anything is done.
    """
    from fluxgate_operator.catalog.document import (  # noqa: PLC0415 - as in cluster.connected
        CatalogError,
        combined,
        read_catalog,
    )

    problems: list[str] = []
    read: list[tuple[Entry, ...]] = []
    for path in catalogs:
        try:
            read.append(read_catalog(path))
        except CatalogError as error:
            problems += error.problems
    for folder in folders:
        found = _of_folder(folder, namespace, problems)
        read.append(found)
    try:
        entries = combined(read)
    except CatalogError as error:
        problems += error.problems
        entries = ()
    if problems:
        raise InvalidResourcesError("\n  ".join(("the catalogue cannot be used:", *problems)))
    return entries


def _of_folder(folder: Path, namespace: str | None, problems: list[str]) -> tuple[Entry, ...]:
    from fluxgate_operator.catalog.document import entry_of  # noqa: PLC0415

    loaded = load_folder(folder)
    problems += [f"{each.file}: {each.message}" for each in loaded.problems]
    entries = []
    for ref, obj in loaded.resources:
        if not isinstance(obj, Route):
            continue
        meta = obj.metadata
        if namespace and "namespace" in meta.model_fields_set and meta.namespace != namespace:
            problems.append(
                f"{ref} says another namespace than {namespace}; remove metadata.namespace"
            )
        written = obj.model_dump(mode="json", by_alias=True, exclude_unset=True)
        written["metadata"] |= {"labels": meta.labels, "annotations": meta.annotations}
        entries.append(entry_of(written))
    return tuple(entries)


def need_source(catalogs: Iterable[Path], folders: Iterable[Path]) -> None:
    """Raise :class:`UsageError` when neither a file nor a folder was named."""
    if not list(catalogs) and not list(folders):
        raise UsageError("no catalogue was named", "Give --catalog FILE or --from DIR.")
