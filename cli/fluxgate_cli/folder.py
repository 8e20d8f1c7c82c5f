"""A configuration folder, read once, exactly as a running instance reads it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fluxgate.resources import ObjectRef, Resources, ResourceStore
from fluxgate_cli.errors import UsageError
from fluxgate_operator.problems import FileProblem


@dataclass(frozen=True, slots=True)
class Folder:
    """Everything a folder says, what is wrong with it, and where each object stands."""

    root: Path
    resources: Resources
    problems: tuple[FileProblem, ...]
    places: Mapping[ObjectRef, tuple[str, int]]


def load_folder(root: Path) -> Folder:
    """Read every resource file below ``root``. Raises :class:`UsageError` when it is no folder."""
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"{root} {what}", "Name a folder of YAML files.")
    return asyncio.run(_load(root))


async def _load(root: Path) -> Folder:
    # certificates bring the whole translator: 0.2 s that commands without a folder would wait for
    from fluxgate_operator.providers.certificate_files import (  # noqa: PLC0415
        CertificateFileReader,
    )
    from fluxgate_operator.providers.directory import DirectoryProvider  # noqa: PLC0415

    store = ResourceStore()
    provider = DirectoryProvider(root, store, lambda: None)
    watching = asyncio.ensure_future(provider.run())
    loading = asyncio.ensure_future(provider.loaded())
    await asyncio.wait({watching, loading}, return_when=asyncio.FIRST_COMPLETED)
    for task in (loading, watching):
        if not task.done():
            task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching  # raises what kept the folder from being read
    CertificateFileReader(store, lambda: None).refresh()
    resources = store.freeze()
    places = {ref: place for ref, _ in resources if (place := provider.file_of(ref)) is not None}
    return Folder(root, resources, provider.problems, places)
