"""Which files of a folder hold resources.

Hidden names and editors' temporaries are ignored; symbolic links are followed, so a
mounted ConfigMap (``routes.yaml -> ..data/routes.yaml``) reads like a plain folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".yaml", ".yml", ".json")
_TEMPORARY_ENDS = ("~", ".swp", ".swx", ".tmp", ".bak", ".orig")


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file's content may have changed."""

    device: int
    inode: int
    size: int
    modified_ns: int
    mode: int


@dataclass(frozen=True, slots=True)
class Tree:
    """What a scan found: resource files, folders to watch, and what links lead to."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    linked: tuple[Path, ...]
    unreadable: tuple[tuple[Path, OSError], ...] = ()

    @property
    def plain(self) -> bool:
        """Whether all of it was read, and it leads nowhere else: then it says nothing about other folders."""
        return not self.linked and not self.unreadable


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is none of ours."""
    return name.startswith((".", "#"))


def is_resource_file(name: str) -> bool:
    """Whether a file of this name is read."""
    return not is_hidden(name) and name.endswith(SUFFIXES) and not name.endswith(_TEMPORARY_ENDS)


def stamp_of(path: Path) -> Stamp:
    """The stamp of the file ``path`` leads to. Raises ``OSError``."""
    found = path.stat()
    return Stamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def scan(root: Path) -> Tree:
    """Everything below ``root``; a folder that cannot be read is reported, not fatal."""
    files: list[Path] = []
    folders: list[Path] = []
    linked: set[Path] = set()
    unreadable: list[tuple[Path, OSError]] = []
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            folders.append(folder)
            for entry in _entries(folder):
                _sort_in(folder, entry, files, waiting, linked)
        except OSError as error:
            unreadable.append((folder, error))
    return Tree(
        tuple(sorted(files, key=str)), tuple(folders), tuple(sorted(linked)), tuple(unreadable)
    )


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from entries


def _sort_in(
    folder: Path,
    entry: os.DirEntry[str],
    files: list[Path],
    waiting: list[Path],
    linked: set[Path],
) -> None:
    if is_hidden(entry.name):
        return
    path = folder / entry.name
    if entry.is_symlink():
        linked.add(Path(os.path.realpath(path)))
    if entry.is_dir():
        waiting.append(path)
    elif is_resource_file(entry.name):
        files.append(path)
