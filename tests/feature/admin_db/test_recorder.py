"""The recorder over a real folder: nothing is lost, nothing is kept twice, whoever wrote it and whoever died."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import structlog
import yaml
from structlog.testing import capture_logs
from support.databases import PATIENCE, DatabasePlace
from support.history import START, Clock, intent, path_of, ref, route, stored, told, until
from support.postgres import Postgres

from fluxgate.api.canonical import digest
from fluxgate.errors import ResourceConflictError, ResourceExistsError, ResourceNotFoundError
from fluxgate.ports import ResourceChange
from fluxgate_admin.db import migrate
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.use_cases.ports import HistoryQuery
from fluxgate_admin.use_cases.recorder import RECORDED, Recorder, RecorderSettings
from fluxgate_operator.resource_clients.directory import DirectoryResources

LOG = structlog.get_logger("test")
HAND = "file:orders.yaml"
NEVER = RecorderSettings(recheck=3600, pause=0.01, longest_pause=0.1)
A, B = route(path="/a"), route(path="/b")
REF = ref(A)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "objects"
    made.mkdir()
    return made


def by_hand(folder: Path, document: dict | None, name: str = "orders") -> None:
    """Write or delete an object as an editor does."""
    file = folder / f"{name}.yaml"
    if document is None:
        file.unlink()
        return
    new = folder / f".{name}.new"
    new.write_text(yaml.safe_dump(document))
    new.replace(file)


@dataclass
class Process:
    """One process of the admin API: its own view of the folder, its own connections, its own recorder."""

    folder: Path
    url: str
    clock: Clock = field(default_factory=Clock)
    settings: RecorderSettings = NEVER
    namespaces: tuple[str, ...] = ()

    @contextlib.asynccontextmanager
    async def running(self, *, records: bool = True) -> AsyncIterator[Process]:
        async with (
            Database(self.url, seconds=PATIENCE) as self.database,
            DirectoryResources(self.folder, LOG, now=self.clock) as self.resources,
        ):
            self.history = SqlHistory(self.database, self.clock)
            self.recorder = Recorder(
                self.resources,
                self.history,
                log=LOG,
                clock=self.clock,
                settings=self.settings,
                namespaces=self.namespaces,
            )
            if not records:
                yield self
                return
            task = asyncio.create_task(self.recorder.run())
            try:
                await asyncio.wait_for(self.recorder.caught_up.wait(), 60)
                yield self
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def write(self, change: Callable[[str | None], str | None], author: str) -> str | None:
        """Change the path of the Route as the admin API does, again when others were faster."""
        while True:
            try:
                current = await self.resources.get(REF)
            except ResourceNotFoundError:
                current = None
            path = change(path_of(current.document) if current else None)
            before = current.document if current else None
            after = None if path is None else route(path=path)
            if before is None and after is None:
                return None
            write = intent(before, after, author=author, at=self.clock())
            await self.history.begin(write)
            try:
                if after is None:
                    await self.resources.delete(REF, current.version)
                    made = None
                elif current is None:
                    made = await self.resources.create(after)
                else:
                    made = await self.resources.replace(after, current.version)
            except (ResourceConflictError, ResourceExistsError, ResourceNotFoundError):
                await self.history.abandon(write.id)
                continue
            await self.history.finish(write.id, made)
            return path

    async def history_is(self, *expected: tuple[str | None, str | None, str]) -> None:
        """Wait for exactly that history."""
        seen: list[object] = []

        async def as_expected() -> bool:
            seen[:] = await told(self.history)
            return seen == list(expected)

        try:
            await until(as_expected, "the history")
        except AssertionError:
            assert seen == list(expected)
            raise


async def test_what_is_there_at_the_start_becomes_history_once(
    folder: Path, database_place: DatabasePlace
) -> None:
    by_hand(folder, A)
    for _ in range(2):
        async with Process(folder, database_place.url).running() as process:
            await process.history_is((None, "/a", HAND))


async def test_edits_of_files_are_revisions(folder: Path, database_place: DatabasePlace) -> None:
    async with Process(folder, database_place.url).running() as process:
        by_hand(folder, A)
        await process.history_is((None, "/a", HAND))
        by_hand(folder, B)
        await process.history_is((None, "/a", HAND), ("/a", "/b", HAND))
        by_hand(folder, None)
        await process.history_is((None, "/a", HAND), ("/a", "/b", HAND), ("/b", None, "unknown"))


async def test_what_changed_while_nobody_watched_is_found_at_the_next_start(
    folder: Path, database_place: DatabasePlace
) -> None:
    by_hand(folder, A)
    by_hand(folder, route("gone", "/gone"), "gone")
    async with Process(folder, database_place.url).running():
        pass
    by_hand(folder, B)
    by_hand(folder, None, "gone")
    by_hand(folder, route("new", "/new"), "new")
    async with Process(folder, database_place.url).running() as process:
        found = set(await told(process.history))
    assert found >= {
        ("/a", "/b", HAND),
        ("/gone", None, "unknown"),
        (None, "/new", "file:new.yaml"),
    }
    assert len(found) == 5


async def test_a_write_of_the_api_is_one_revision_with_its_author(
    folder: Path, database_place: DatabasePlace
) -> None:
    async with Process(folder, database_place.url).running() as process:
        await process.write(lambda _: "/a", "alice")
        await process.write(lambda _: "/b", "bob")
        await process.write(lambda _: None, "carol")
        by_hand(folder, route("last", "/last"), "last")
        await process.history_is(
            (None, "/a", "alice"),
            ("/a", "/b", "bob"),
            ("/b", None, "carol"),
            (None, "/last", "file:last.yaml"),
        )


async def test_what_a_recorder_of_one_namespace_does_not_see_is_not_gone(
    folder: Path, database_place: DatabasePlace
) -> None:
    by_hand(folder, route("theirs", "/theirs", "other"), "theirs")
    async with Process(folder, database_place.url).running():
        pass
    by_hand(folder, None, "theirs")
    by_hand(folder, A)
    async with Process(folder, database_place.url, namespaces=("default",)).running() as process:
        await process.history_is((None, "/theirs", "file:theirs.yaml"), (None, "/a", HAND))


# processes that end in the middle of a write

WRITES_AND_STOPS = """
import asyncio, sys
from pathlib import Path
import structlog
from support.history import Clock, intent, route
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_operator.resource_clients.directory import DirectoryResources

async def main(folder, url, moment):
    async with Database(url) as database, DirectoryResources(
        Path(folder), structlog.get_logger("test")
    ) as resources:
        write = intent(None, route(path="/a"), author="alice")
        await SqlHistory(database, Clock()).begin(write)
        if moment == "after":
            await resources.create(route(path="/a"))
        print("now", flush=True)
        await asyncio.Event().wait()

structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))
asyncio.run(main(*sys.argv[1:]))
"""


async def killed(folder: Path, url: str, moment: str) -> None:
    """A process that announced a write and was killed ``before`` or ``after`` making it."""
    command = (sys.executable, "-c", WRITES_AND_STOPS, str(folder), url, moment)
    paths = {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env=paths)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"now\n"
    process.send_signal(signal.SIGKILL)
    await process.communicate()


async def test_a_process_killed_between_the_write_and_its_record_loses_nothing(
    folder: Path, database_place: DatabasePlace
) -> None:
    await killed(folder, database_place.url, "after")
    for _ in range(2):
        async with Process(folder, database_place.url).running() as process:
            await process.history_is((None, "/a", "alice"))


async def test_a_process_killed_before_the_write_leaves_no_trace_and_signs_nothing_later(
    folder: Path, database_place: DatabasePlace
) -> None:
    await killed(folder, database_place.url, "before")
    late = Clock()
    late.forward(hours=1)
    async with Process(folder, database_place.url, late).running() as process:
        assert await process.history.overdue(late()) == []
        by_hand(folder, A)
        await process.history_is((None, "/a", HAND))


async def test_a_write_under_way_is_not_forgotten_when_another_replica_starts(
    folder: Path, database_place: DatabasePlace
) -> None:
    async with Process(folder, database_place.url).running(records=False) as writer:
        write = intent(None, A, author="alice", at=START)
        await writer.history.begin(write)
        async with Process(folder, database_place.url).running() as other:
            made = await writer.resources.create(A)
            await other.history_is((None, "/a", "alice"))
        await writer.history.finish(write.id, made)
        await writer.history_is((None, "/a", "alice"))


# news that come late, or not at all


class Held(DirectoryResources):
    """A folder whose watch can be made to keep what it saw to itself for a while."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        super().__init__(folder, LOG, now=clock)
        self.flowing, self.holding = asyncio.Event(), asyncio.Event()
        self.flowing.set()

    async def watch(self, kinds: Sequence[str]) -> AsyncIterator[ResourceChange]:
        async for change in super().watch(kinds):
            if not self.flowing.is_set():
                self.holding.set()
            await self.flowing.wait()
            yield change


@contextlib.asynccontextmanager
async def recording(process: Process, resources: Held) -> AsyncIterator[None]:
    """A recorder over another view of the folder."""
    recorder = Recorder(resources, process.history, log=LOG, clock=process.clock, settings=NEVER)
    task = asyncio.create_task(recorder.run())
    try:
        await asyncio.wait_for(recorder.caught_up.wait(), 60)
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_that_is_behind_adds_nothing_to_what_writers_told(
    folder: Path, database_place: DatabasePlace
) -> None:
    by_hand(folder, A)
    process = Process(folder, database_place.url)
    async with (
        process.running(records=False),
        Held(folder, process.clock) as held,
        recording(process, held),
    ):
        held.flowing.clear()
        await process.write(lambda _: "/b", "alice")
        await held.holding.wait()
        await process.write(lambda _: "/c", "bob")
        held.flowing.set()
        by_hand(folder, route("last", "/last"), "last")
        await process.history_is(
            (None, "/a", HAND),
            ("/a", "/b", "alice"),
            ("/b", "/c", "bob"),
            (None, "/last", "file:last.yaml"),
        )


async def test_what_no_watch_showed_is_found_by_the_next_recheck(
    folder: Path, database_place: DatabasePlace
) -> None:
    by_hand(folder, A)
    often = RecorderSettings(recheck=0.05, pause=0.01)
    async with Process(folder, database_place.url, settings=often).running() as process:
        # a write that an editor undid before any watch looked
        write = intent(A, B, author="alice")
        await process.history.begin(write)
        await process.history.finish(write.id, stored(B))
        await process.history_is((None, "/a", HAND), ("/a", "/b", "alice"), ("/b", "/a", HAND))


@pytest.mark.parametrize("seed", range(3))
async def test_replicas_writers_and_editors_at_once_come_to_one_history(
    folder: Path, database_place: DatabasePlace, seed: int
) -> None:
    dice = random.Random(seed)
    async with contextlib.AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(Process(folder, database_place.url).running())
            for _ in range(3)
        ]
        made: list[str] = []

        async def writer(number: int) -> None:
            for count in range(12):
                author = f"writer-{number}-{count}"
                await dice.choice(replicas).write(lambda _, path=f"/{author}": path, author)
                made.append(author)

        async def editor() -> None:
            for count in range(12):
                by_hand(folder, route("other", f"/{count}"), "other")
                await asyncio.sleep(dice.random() / 50)

        await asyncio.gather(writer(0), writer(1), editor())
        history = replicas[0].history

        async def settled() -> bool:
            living = await history.living(RECORDED)
            present = await replicas[0].resources.list("Route")
            return living == {each.ref: digest(each.document) for each in present}

        await until(settled, "history has what the folder has")
        ours = await told(history, HistoryQuery(ref=REF, limit=1000))
        theirs = await told(history, HistoryQuery(ref=ref(route("other")), limit=1000))
    assert sorted(author for _, _, author in ours) == sorted(made)
    assert all(after == f"/{author}" for _, after, author in ours)
    assert [before for before, _, _ in theirs] == [None, *(after for _, after, _ in theirs[:-1])]


# a database that is away


async def test_what_happens_while_the_database_is_away_is_kept_when_it_is_back(
    folder: Path,
) -> None:
    server = Postgres()
    try:
        server.start()
        url = server.new_database()
        await migrate.upgrade(url)
        async with Process(folder, url).running() as process:
            server.stop()
            with capture_logs() as logs:
                by_hand(folder, A)
                await until(partial(_waits, logs), "the recorder has tried to keep it")
            server.start()
            await process.history_is((None, "/a", HAND))
            by_hand(folder, B)
            await process.history_is((None, "/a", HAND), ("/a", "/b", HAND))
    finally:
        server.close()


async def _waits(logs: list[dict[str, object]]) -> bool:
    return any(each["event"] == "recorder_waits" for each in logs)
