"""The directory provider: a folder of YAML files is the source of truth.

Reads every resource file below a folder, watches it, and feeds the store. Only files
that changed are read again. The last good objects of a file that is broken, empty or
unreadable stay in force until it is repaired or deleted. When two files define the
same object, the first by path wins and both are named.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fluxgate.api.v1alpha1 import Resource
from fluxgate.resources import Object, ObjectRef, ResourceStore
from fluxgate_operator.documents import MAX_FILE_BYTES
from fluxgate_operator.problems import FileProblem
from fluxgate_operator.providers.parse import Parsed, ParsedFile, parse_file, unreadable_file
from fluxgate_operator.providers.scan import Stamp, Tree, scan, stamp_of
from fluxgate_operator.providers.watch import Changes, FolderWatch, WatchLimitError

_THREAD_BYTES = 64 * 1024
"""Larger files are parsed in a thread, so that the event loop stays free for the nodes."""

_YIELD_EVERY = 100


@dataclass(slots=True)
class _File:
    stamp: Stamp | None
    digest: bytes
    objects: dict[ObjectRef, Parsed]
    problems: tuple[FileProblem, ...]


class DirectoryProvider:
    """Keeps ``store`` equal to the resource files below ``root``.

    ``changed`` is called after every batch that changed the store or the problems;
    ``adjust`` may replace an object before the store sees it.
    """

    def __init__(
        self,
        root: Path,
        store: ResourceStore,
        changed: Callable[[], None],
        adjust: Callable[[Object], Object] = lambda obj: obj,
    ) -> None:
        self._root = root
        self._store = store
        self._changed = changed
        self._adjust = adjust
        self._files: dict[Path, _File] = {}
        self._troubled: set[Path] = set()
        self._owners: dict[ObjectRef, tuple[Path, ...]] = {}
        self._shared: set[ObjectRef] = set()
        self._generations: dict[ObjectRef, int] = {}
        self._folder_problems: tuple[FileProblem, ...] = ()
        self._loaded = asyncio.Event()
        self._watch: FolderWatch | None = None
        self._settling: list[asyncio.Future[None]] = []

    @property
    def problems(self) -> tuple[FileProblem, ...]:
        """Everything that is wrong with files at the moment, by file and line."""
        found = [*self._folder_problems, *self._duplicates()]
        for path in self._troubled:
            found.extend(self._files[path].problems)
        return tuple(sorted(found))

    @property
    def files_read(self) -> int:
        """How many files have been read so far, for showing progress."""
        return len(self._files)

    async def loaded(self) -> None:
        """Return when every file has been read once."""
        await self._loaded.wait()

    async def settled(self) -> None:
        """Return when the store holds whatever was in the folder at the time of the call.

        Reads the kernel's queue of events to its end and waits for every file that has to be
        parsed. What is written while this waits may be included or not.
        """
        await self.loaded()
        if self._watch is None:  # following has ended; nothing more will be read
            return
        done = asyncio.get_running_loop().create_future()
        self._settling.append(done)
        self._watch.nudge()
        await done

    def file_of(self, ref: ObjectRef) -> tuple[str, int] | None:
        """File and line an object comes from."""
        owners = self._owners.get(ref, ())
        if not owners:
            return None
        return str(owners[0]), self._files[owners[0]].objects[ref].line

    async def run(self) -> None:
        """Load, then follow changes until cancelled.

        Raises ``NotADirectoryError`` or ``FileNotFoundError`` when the folder is not
        there at the start, and ``WatchLimitError`` when it cannot be watched.
        """
        if not self._root.is_dir():
            kind = NotADirectoryError if self._root.exists() else FileNotFoundError
            raise kind(f"the configuration folder {self._root} is not there")
        with FolderWatch(self._root) as watch:
            self._watch = watch
            try:
                await self._rescan(watch)
                self._loaded.set()
                self._changed()
                async for changes in watch.changes():
                    # whoever asked before the queue was read is answered by this round
                    asked, self._settling = self._settling, []
                    await self._take(watch, changes)
                    _answer(asked)
            finally:
                self._watch = None
                _answer(self._settling)

    async def _take(self, watch: FolderWatch, changes: Changes) -> None:
        if not changes.everything and not changes.files and not changes.folders:
            return
        before = self._store.revision, self.problems
        if changes.everything or not await self._joined(watch, changes.folders):
            await self._rescan(watch)
        await self._reload(sorted(changes.files), forced=True)
        if before != (self._store.revision, self.problems):
            self._changed()

    async def _rescan(self, watch: FolderWatch) -> None:
        while True:
            tree = scan(self._root)
            self._note_folders(tree)
            if self._root.is_dir():
                await self._reload(self._candidates(tree), forced=False)
            if not self._follow(watch, tree):
                return

    async def _joined(self, watch: FolderWatch, folders: Iterable[Path]) -> bool:
        """Read folders that are new, without looking at the others; False when that does not suffice."""
        for folder in sorted(folders):
            more = True
            while more:
                tree = scan(folder)
                if not tree.plain:
                    return False
                await self._reload(tree.files, forced=False)
                more = self._watched(partial(watch.extend, tree.folders))
        return True

    def _follow(self, watch: FolderWatch, tree: Tree) -> bool:
        return self._watched(partial(watch.follow, tree.folders, tree.linked))

    def _watched(self, follow: Callable[[], bool]) -> bool:
        try:
            return follow()
        except WatchLimitError as error:
            if not self._loaded.is_set():
                raise
            problem = FileProblem(str(self._root), 0, 0, str(error.strerror))
            self._folder_problems = (*self._folder_problems, problem)
            return False

    def _note_folders(self, tree: Tree) -> None:
        self._folder_problems = tuple(
            FileProblem(
                str(path), 0, 0, f"{error.strerror or error}; what was read from it stays in force"
            )
            for path, error in tree.unreadable
            if path == self._root or path.exists()
        )

    def _candidates(self, tree: Tree) -> list[Path]:
        """Files that are there, and files that went; not those of folders nobody can read."""
        closed = tuple(path for path, _ in tree.unreadable if path.exists())
        gone = self._files.keys() - set(tree.files)
        missing = {path for path in gone if not any(map(path.is_relative_to, closed))}
        return [*tree.files, *sorted(missing)]

    async def _reload(self, paths: Iterable[Path], *, forced: bool) -> None:
        touched: set[ObjectRef] = set()
        for count, path in enumerate(paths, start=1):
            touched |= await self._reload_file(path, forced=forced)
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)
        # Only now, so that an object that moved from one file to another was never gone.
        for ref in sorted(touched):
            self._settle(ref)

    async def _reload_file(self, path: Path, *, forced: bool) -> set[ObjectRef]:
        """Read one file if it changed; returns the objects whose definition may differ."""
        old = self._files.get(path)
        try:
            stamp = stamp_of(path)
            if old is not None and old.stamp == stamp and not forced:
                return set()
            data = _read(path)
        except FileNotFoundError:
            return self._forget(path)
        except OSError as error:
            return self._store_file(path, None, b"", unreadable_file(path, error))
        digest = hashlib.sha256(data).digest()
        if old is not None and old.digest == digest:
            old.stamp = stamp
            return set()
        if len(data) > _THREAD_BYTES:
            parsed = await asyncio.to_thread(parse_file, path, data)
        else:
            parsed = parse_file(path, data)
        return self._store_file(path, stamp, digest, parsed)

    def _store_file(
        self, path: Path, stamp: Stamp | None, digest: bytes, parsed: ParsedFile
    ) -> set[ObjectRef]:
        old = self._files.get(path)
        before = old.objects if old is not None else {}
        objects = dict(parsed.objects)
        for ref, kept in before.items():
            if ref not in objects and (parsed.incomplete or ref in parsed.broken):
                objects[ref] = kept
        self._files[path] = _File(stamp, digest, objects, parsed.problems)
        (self._troubled.add if parsed.problems else self._troubled.discard)(path)
        for ref in before.keys() - objects.keys():
            self._disown(ref, path)
        for ref in objects.keys() - before.keys():
            self._own(ref, path)
        return before.keys() | objects.keys()

    def _forget(self, path: Path) -> set[ObjectRef]:
        old = self._files.pop(path, None)
        self._troubled.discard(path)
        if old is None:
            return set()
        for ref in old.objects:
            self._disown(ref, path)
        return set(old.objects)

    def _own(self, ref: ObjectRef, path: Path) -> None:
        owners = tuple(sorted({*self._owners.get(ref, ()), path}))
        self._owners[ref] = owners
        if len(owners) > 1:
            self._shared.add(ref)

    def _disown(self, ref: ObjectRef, path: Path) -> None:
        rest = tuple(owner for owner in self._owners[ref] if owner != path)
        if len(rest) < 2:
            self._shared.discard(ref)
        if rest:
            self._owners[ref] = rest
        else:
            del self._owners[ref]

    def _settle(self, ref: ObjectRef) -> None:
        """Make the store hold what the winning file says about one object."""
        owners = self._owners.get(ref)
        if not owners:
            self._store.remove(ref)
            return
        wanted = self._adjust(self._files[owners[0]].objects[ref].obj)
        current = self._store.get(ref)
        generation = self._generations.get(ref, 0)
        if current is not None and not _differs(current, wanted):
            return
        self._generations[ref] = generation + 1
        self._store.upsert(_with_generation(wanted, generation + 1))

    def _duplicates(self) -> Iterable[FileProblem]:
        for ref in self._shared:
            owners = self._owners[ref]
            first = self._files[owners[0]].objects[ref]
            for other in owners[1:]:
                line = self._files[other].objects[ref].line
                yield FileProblem(
                    str(other),
                    line,
                    1,
                    f"already defined in {owners[0]}:{first.line}, which stays in force; "
                    "remove or rename one of the two",
                    str(ref),
                )


def _answer(asked: Iterable[asyncio.Future[None]]) -> None:
    for each in asked:
        if not each.done():
            each.set_result(None)


def _read(path: Path) -> bytes:
    """At most one byte more than a file may have: enough to see that it is too large."""
    with path.open("rb") as file:
        return file.read(MAX_FILE_BYTES + 1)


def _differs(current: Object, wanted: Object) -> bool:
    if not isinstance(current, Resource) or not isinstance(wanted, Resource):
        return current != wanted
    return current.metadata.labels != wanted.metadata.labels or getattr(
        current, "spec", None
    ) != getattr(wanted, "spec", None)


def _with_generation(obj: Object, generation: int) -> Object:
    """Files have no API server that counts generations, so the provider does."""
    if not isinstance(obj, Resource):
        return obj
    metadata = obj.metadata.model_copy(update={"generation": generation})
    return obj.model_copy(update={"metadata": metadata})
