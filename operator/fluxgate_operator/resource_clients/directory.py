"""Objects in a folder of YAML files, beside whoever else writes there.

New objects get a file of their own (``routes/default.orders.yaml``); those that stand in a file already are
changed in it (docs/decisions/0025).
"""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from structlog.typing import FilteringBoundLogger

from fluxgate.api.canonical import digest
from fluxgate.errors import (
    ResourceConflictError,
    ResourceExistsError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate.ports.resources import ChangeType, Document, ResourceChange, Stored
from fluxgate.resources import ObjectRef
from fluxgate_operator.documents import DocumentError
from fluxgate_operator.providers.scan import stamp_of
from fluxgate_operator.providers.watch import FolderWatch
from fluxgate_operator.resource_clients.file_text import FileText, new_text, read_text
from fluxgate_operator.resource_clients.folder_check import FolderCheck
from fluxgate_operator.resource_clients.folder_failures import told, unavailable
from fluxgate_operator.resource_clients.folder_index import (
    CREATED_AT,
    FolderIndex,
    read_bytes,
    rfc3339,
)
from fluxgate_operator.resource_clients.folder_writer import (
    ChangedMeanwhileError,
    FolderWriter,
    UnsureError,
)
from fluxgate_operator.resource_clients.objects import PLURALS, checked

T = TypeVar("T")
_Writer = FolderWriter | FolderCheck
_Write = Callable[[FolderIndex, _Writer], Awaitable[None]]

_TRIES = 5
"""How often a write begins anew because an editor was faster."""
_LONGEST_NAME = 200


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(eq=False, slots=True)
class _Listener:
    """One watch under way: what it has told, and what it has to look at."""

    kinds: frozenset[str]
    told: dict[ObjectRef, Stored] = field(default_factory=dict)
    waiting: set[ObjectRef] = field(default_factory=set)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)


class DirectoryResources:
    """:class:`~fluxgate.ports.ResourceClient` for the resource files below ``root``.

    Use as ``async with``; the folder is read at the first call. A read shows whatever was in the folder at
    the call. ``lock_seconds`` is how long a write waits for another writer.
    """

    def __init__(
        self,
        root: Path,
        log: FilteringBoundLogger,
        *,
        lock_seconds: float = 10.0,
        now: Callable[[], dt.datetime] = _now,
    ) -> None:
        self._root = root.absolute()
        self._log = log
        self._now = now
        self._writer = FolderWriter(self._root, lock_seconds)
        self._check = FolderCheck()
        self._watch: FolderWatch | None = None
        self._index: FolderIndex | None = None
        self._turn = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._follower: asyncio.Task[None] | None = None
        self._listeners: set[_Listener] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is under way; a write that has begun is finished first."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
        if self._watch is not None:
            self._watch.__exit__(None, None, None)
            self._watch = self._index = None

    # reading

    async def list(self, kind: str, namespace: str | None = None) -> Sequence[Stored]:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        index = await self._fresh(kind)
        found = [
            (ref, stored)
            for ref, stored in index.objects.items()
            if ref.kind == kind and namespace in (None, ref.namespace)
        ]
        return tuple(stored for _, stored in sorted(found, key=lambda each: each[0]))

    async def get(self, ref: ObjectRef) -> Stored:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        return _one(await self._fresh(str(ref)), ref)

    async def _fresh(self, subject: str) -> FolderIndex:
        """The index, as of now."""
        async with self._turn:
            with told(subject, self._log):
                if not self._root.is_dir():
                    raise FileNotFoundError(errno.ENOENT, "is not there", str(self._root))
                if self._index is None:
                    return await self._open()
                self._stir(await self._index.refresh())
                return self._index

    async def _open(self) -> FolderIndex:
        watch = FolderWatch(self._root)
        index = FolderIndex(self._root, watch)
        try:
            await index.load()
        except BaseException:
            watch.__exit__(None, None, None)
            raise
        self._watch, self._index = watch, index
        self._follower = asyncio.create_task(self._follow(watch, index), name="folder of objects")
        return index

    # writing

    async def create(self, document: Document, *, dry_run: bool = False) -> Stored:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        ref, wanted = checked(document)
        at = rfc3339(self._now())

        async def write(index: FolderIndex, writer: _Writer) -> None:
            if ref in index.objects:
                raise ResourceExistsError(str(ref), "is there already")
            kept = {**wanted["metadata"].get("annotations", {}), CREATED_AT: at}
            content = {**wanted, "metadata": {**wanted["metadata"], "annotations": kept}}
            path = self._free_path(ref)
            if isinstance(writer, FolderCheck):
                await asyncio.to_thread(writer.check, path, None)
            else:
                await asyncio.to_thread(writer.write, path, new_text(content), None)

        if dry_run:
            await self._try(ref, write)
            return Stored(ref, wanted, digest(wanted), created_at=at)
        return _one(await self._change(ref, write), ref)

    async def replace(self, document: Document, version: str, *, dry_run: bool = False) -> Stored:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        ref, wanted = checked(document)

        async def write(index: FolderIndex, writer: _Writer) -> None:
            if _one(index, ref).version != version:
                raise ResourceConflictError(str(ref), f"is not at version {version} any more")
            if version != digest(wanted):
                path = index.owners(ref)[0]
                await asyncio.to_thread(self._edit, writer, index, path, ref, wanted, version)

        if dry_run:
            before = _one(await self._try(ref, write), ref)
            return Stored(ref, wanted, digest(wanted), created_at=before.created_at)
        return _one(await self._change(ref, write), ref)

    async def delete(
        self, ref: ObjectRef, version: str | None = None, *, dry_run: bool = False
    ) -> None:
        """See :class:`~fluxgate.ports.ResourceClient`."""

        async def write(index: FolderIndex, writer: _Writer) -> None:
            found = _one(index, ref).version
            if found != version is not None:
                raise ResourceConflictError(str(ref), f"is not at version {version} any more")
            # the one that counts last: until then nothing has changed
            first, *others = index.owners(ref)
            for path in reversed(others):
                await asyncio.to_thread(self._edit, writer, index, path, ref, None, None)
            await asyncio.to_thread(self._edit, writer, index, first, ref, None, found)

        await (self._try(ref, write) if dry_run else self._change(ref, write))

    async def _try(self, ref: ObjectRef, write: _Write) -> FolderIndex:
        """What the write would raise; in nobody's turn, since nothing is written."""
        with told(str(ref), self._log):
            return await self._write(ref, write, self._check)

    async def _change(self, ref: ObjectRef, write: _Write) -> FolderIndex:
        """Write, and see it. Goes on when the caller is cancelled: half a change helps nobody."""
        return await self._undisturbed(self._in_turn(ref, write))

    async def _in_turn(self, ref: ObjectRef, write: _Write) -> FolderIndex:
        with told(str(ref), self._log):
            async with self._writing, self._writer.turn():
                return await self._write(ref, write, self._writer)

    async def _write(self, ref: ObjectRef, write: _Write, writer: _Writer) -> FolderIndex:
        for _ in range(_TRIES):
            index = await self._fresh(str(ref))
            try:
                await write(index, writer)
            except ChangedMeanwhileError:
                continue
            except UnsureError:
                raise
            except (OSError, DocumentError) as error:
                raise unavailable(str(ref), error, self._log, unwritten=True) from error
            return await self._fresh(str(ref))
        raise ResourceStoreUnavailableError(str(ref), "others keep changing its file; try again")

    async def _undisturbed(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._abandoned)
            raise

    def _abandoned(self, task: asyncio.Task[Any]) -> None:
        """Nobody waits for a write any more; what became of it, the log says and every watch."""
        error = None if task.cancelled() else task.exception()
        self._log.info("a write went on after its caller left", error=str(error or ""))

    def _edit(
        self,
        writer: _Writer,
        index: FolderIndex,
        path: Path,
        ref: ObjectRef,
        wanted: dict[str, Any] | None,
        version: str | None,
    ) -> None:
        """Have the file say ``wanted`` of ``ref``, or nothing, if it says ``version`` now. Blocks."""
        before = stamp_of(path)

        def read() -> FileText:
            is_json = path.suffix == ".json"
            return read_text(read_bytes(path), is_json=is_json, remembered=index.parts(path))

        text = writer.text(path, before, read) if isinstance(writer, FolderCheck) else read()
        if ref not in text.objects:
            if text.problem:
                where = path.relative_to(self._root)
                raise DocumentError(f"{where} cannot be read: {text.problem}; repair it first")
            raise ChangedMeanwhileError(str(path))
        if version is not None and digest(text.objects[ref].content) != version:
            raise ChangedMeanwhileError(str(path))
        if isinstance(writer, FolderCheck):
            writer.check(path, before)  # what the file would say takes time, and can be said
            return
        data = text.removed(ref) if wanted is None else text.replaced(ref, wanted)
        if data is None:
            writer.remove(path, before)
        else:
            writer.write(path, data, before)

    def _free_path(self, ref: ObjectRef) -> Path:
        """A file that is not there. Namespaces hold no dot, so names do not meet."""
        folder = self._root / PLURALS[ref.kind]
        name = f"{ref.namespace}.{ref.name}"
        if len(name) > _LONGEST_NAME:
            name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
        path, count = folder / f"{name}.yaml", 1
        while path.exists() or path.is_symlink():
            count += 1
            path = folder / f"{name}-{count}.yaml"
        return path

    # watching

    def watch(self, kinds: Sequence[str]) -> AsyncIterator[ResourceChange]:
        """See :class:`~fluxgate.ports.ResourceClient`."""
        return self._tell(_Listener(frozenset(kinds)))

    async def _tell(self, listener: _Listener) -> AsyncIterator[ResourceChange]:
        index = await self._fresh("watch")
        present = {ref: each for ref, each in index.objects.items() if ref.kind in listener.kinds}
        listener.told = dict(present)
        self._listeners.add(listener)
        try:
            for ref, stored in sorted(present.items(), key=lambda each: each[0]):
                yield ResourceChange(ChangeType.PRESENT, ref, stored)
            yield ResourceChange(ChangeType.SYNCED)
            while True:
                await listener.stirred.wait()
                listener.stirred.clear()
                self._check_follower()
                waiting, listener.waiting = listener.waiting, set()
                for ref in sorted(waiting):
                    if (change := _news(listener, ref, index.objects.get(ref))) is not None:
                        yield change
        finally:
            self._listeners.discard(listener)

    async def _follow(self, watch: FolderWatch, index: FolderIndex) -> None:
        """Take in what changes while nobody asks."""
        try:
            async for changes in watch.changes():
                async with self._turn:
                    self._stir(await index.take(changes))
        except Exception as error:
            self._log.error("the folder is not watched any more", error=str(error))
            raise
        finally:
            for listener in self._listeners:
                listener.stirred.set()

    def _check_follower(self) -> None:
        if self._follower is None or self._follower.done():
            raise ResourceStoreUnavailableError("watch", "the folder is not watched any more")

    def _stir(self, touched: set[ObjectRef]) -> None:
        for listener in self._listeners:
            if ours := {ref for ref in touched if ref.kind in listener.kinds}:
                listener.waiting |= ours
                listener.stirred.set()


def _one(index: FolderIndex, ref: ObjectRef) -> Stored:
    stored = index.objects.get(ref)
    if stored is None:
        raise ResourceNotFoundError(str(ref), "is not there")
    return stored


def _news(listener: _Listener, ref: ObjectRef, now: Stored | None) -> ResourceChange | None:
    before = listener.told.get(ref)
    if now is None:
        if before is None:
            return None
        del listener.told[ref]
        return ResourceChange(ChangeType.DELETED, ref, before)
    if before is not None and before.version == now.version:
        return None
    listener.told[ref] = now
    return ResourceChange(ChangeType.CHANGED, ref, now)
