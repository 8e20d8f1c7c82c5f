"""The directory provider against a real folder and the real inotify."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from asyncinotify import Inotify, Mask, Watch

from fluxgate.api.v1alpha1 import Upstream
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate_operator.documents import MAX_FILE_BYTES
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.providers.watch import WatchLimitError


def upstream(name: str, port: int = 8000) -> str:
    return (
        "apiVersion: gateway.fluxgate.io/v1alpha1\nkind: Upstream\n"
        f"metadata: {{name: {name}}}\nspec:\n  targets:\n"
        f"  - {{host: 127.0.0.1, port: {port}}}\n"
    )


def ref(name: str) -> ObjectRef:
    return ObjectRef("Upstream", "default", name)


class Folder:
    """A folder that is being watched, and what the provider made of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = ResourceStore()
        self._event = asyncio.Event()
        self.provider = DirectoryProvider(root, self.store, self._event.set)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def names(self) -> set[str]:
        return {found.name for found, _ in self.store.freeze()}

    def port(self, name: str) -> int | None:
        found = self.store.get(ref(name))
        return found.spec.targets[0].port if isinstance(found, Upstream) else None

    def messages(self) -> list[str]:
        return [str(problem) for problem in self.provider.problems]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._event.clear()
                await self._event.wait()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Folder]:
        task = asyncio.create_task(self.provider.run())
        try:
            loaded = asyncio.create_task(self.provider.loaded())
            await asyncio.wait((task, loaded), return_when=asyncio.FIRST_COMPLETED)
            loaded.cancel()
            if task.done():
                await task
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    root = tmp_path / "config"
    root.mkdir()
    return Folder(root)


async def test_everything_below_the_folder_is_read_before_it_counts_as_loaded(
    folder: Folder,
) -> None:
    folder.write("a.yaml", upstream("a") + "---\n" + upstream("b"))
    folder.write("deep/er/c.yml", upstream("c"))

    async with folder.watched():
        assert folder.names() == {"a", "b", "c"}
        assert folder.provider.problems == ()


@pytest.mark.parametrize(
    "name",
    [".hidden.yaml", "a.yaml~", ".a.yaml.swp", "#a.yaml#", "a.yaml.tmp", ".git/a.yaml", "x.txt"],
)
async def test_hidden_files_and_editors_temporaries_are_ignored(folder: Folder, name: str) -> None:
    folder.write(name, upstream("a"))

    async with folder.watched():
        assert folder.names() == set()


async def test_a_new_file_is_read_when_it_is_closed(folder: Folder) -> None:
    async with folder.watched():
        folder.write("a.yaml", upstream("a"))
        await folder.until(lambda: folder.names() == {"a"})


async def test_a_half_written_file_is_not_read_while_it_is_open(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a", 1000))
    async with folder.watched():
        with (folder.root / "a.yaml").open("w") as file:
            file.write(upstream("a", 2000)[:60])
            file.flush()
            folder.write("b.yaml", upstream("b"))
            await folder.until(lambda: "b" in folder.names())
            assert folder.port("a") == 1000
            assert folder.messages() == []
            file.write(upstream("a", 2000)[60:])
        await folder.until(lambda: folder.port("a") == 2000)


async def test_a_truncated_document_keeps_the_last_good_object_until_it_is_repaired(
    folder: Folder,
) -> None:
    folder.write("a.yaml", upstream("a", 1000))
    async with folder.watched():
        folder.write("a.yaml", upstream("a", 2000)[:-4])
        await folder.until(folder.messages)
        assert folder.port("a") == 1000
        assert f"{folder.root}/a.yaml:7" in folder.messages()[0]

        folder.write("a.yaml", upstream("a", 2000))
        await folder.until(lambda: folder.port("a") == 2000)
        assert folder.messages() == []


async def test_an_invalid_field_is_reported_at_its_own_line(folder: Folder) -> None:
    folder.write("a.yaml", "# first\n" + upstream("a").replace("8000", "99999"))

    async with folder.watched():
        (problem,) = folder.provider.problems
        assert (problem.line, problem.subject) == (7, "Upstream default/a")
        assert "spec.targets[0].port" in problem.message


async def test_one_invalid_document_leaves_the_rest_of_its_file_alone(folder: Folder) -> None:
    both = upstream("a", 1000) + "---\n" + upstream("b", 1000)
    folder.write("a.yaml", both)
    async with folder.watched():
        folder.write("a.yaml", upstream("a", 99999) + "---\n" + upstream("b", 2000))
        await folder.until(folder.messages)
        assert (folder.port("a"), folder.port("b")) == (1000, 2000)


async def test_a_document_that_vanishes_takes_its_object_along(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a") + "---\n" + upstream("b"))
    async with folder.watched():
        folder.write("a.yaml", upstream("b"))
        await folder.until(lambda: folder.names() == {"b"})


async def test_a_deleted_file_takes_its_objects_and_problems_along(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a") + "---\nkind: [\n")
    async with folder.watched():
        assert folder.messages()
        (folder.root / "a.yaml").unlink()
        await folder.until(lambda: folder.names() == set())
        assert folder.messages() == []


async def test_a_renamed_file_keeps_its_objects(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a"))
    async with folder.watched():
        generation = folder.store.get(ref("a")).metadata.generation
        (folder.root / "a.yaml").rename(folder.root / "z.yaml")
        folder.write("later.yaml", upstream("later"))
        await folder.until(lambda: "later" in folder.names())
        assert folder.provider.file_of(ref("a")) == (f"{folder.root}/z.yaml", 1)
        assert folder.store.get(ref("a")).metadata.generation == generation


async def test_a_file_moved_into_place_is_read(folder: Folder, tmp_path: Path) -> None:
    folder.write("a.yaml", upstream("a", 1000))
    async with folder.watched():
        draft = tmp_path / "draft"
        draft.write_text(upstream("a", 2000))
        draft.rename(folder.root / "a.yaml")
        await folder.until(lambda: folder.port("a") == 2000)


async def test_folders_made_moved_and_deleted_are_followed(folder: Folder) -> None:
    async with folder.watched():
        folder.write("one/two/a.yaml", upstream("a", 1000))
        await folder.until(lambda: folder.names() == {"a"})

        (folder.root / "one").rename(folder.root / "uno")
        folder.write("uno/two/a.yaml", upstream("a", 2000))
        await folder.until(lambda: folder.port("a") == 2000)

        (folder.root / "uno/two/a.yaml").unlink()
        (folder.root / "uno/two").rmdir()
        await folder.until(lambda: folder.names() == set())


async def test_two_folders_that_swap_names_are_both_followed(folder: Folder) -> None:
    folder.write("a/x.yaml", upstream("a"))
    folder.write("b/x.yaml", upstream("b"))
    async with folder.watched():
        (folder.root / "a").rename(folder.root / "c")
        (folder.root / "b").rename(folder.root / "a")
        folder.write("later.yaml", upstream("later"))
        await folder.until(lambda: "later" in folder.names())
        assert folder.provider.file_of(ref("b")) == (f"{folder.root}/a/x.yaml", 1)
        folder.write("a/x.yaml", upstream("b", 2000))
        await folder.until(lambda: folder.port("b") == 2000)


async def test_a_folder_moved_out_takes_its_objects_along(folder: Folder, tmp_path: Path) -> None:
    folder.write("sub/a.yaml", upstream("a"))
    async with folder.watched():
        (folder.root / "sub").rename(tmp_path / "elsewhere")
        await folder.until(lambda: folder.names() == set())


def publish_config_map(mount: Path, version: str, text: str) -> None:
    """What a kubelet does: a new hidden folder, then an atomic swap of ``..data``."""
    (mount / version).mkdir(parents=True)
    (mount / version / "a.yaml").write_text(text)
    (mount / "..data_tmp").symlink_to(version)
    (mount / "..data_tmp").rename(mount / "..data")
    if not (mount / "a.yaml").is_symlink():
        (mount / "a.yaml").symlink_to("..data/a.yaml")


async def test_a_mounted_config_map_is_followed_through_its_swap(folder: Folder) -> None:
    publish_config_map(folder.root, "..2026_1", upstream("a", 1000))
    async with folder.watched():
        assert folder.port("a") == 1000
        publish_config_map(folder.root, "..2026_2", upstream("a", 2000))
        await folder.until(lambda: folder.port("a") == 2000)
        assert folder.names() == {"a"}


async def test_a_hard_link_whose_first_name_is_gone_is_read_though_nobody_closes_it(
    folder: Folder,
) -> None:
    async with folder.watched():
        first = folder.write(".draft", upstream("a"))
        os.link(first, folder.root / "a.yaml")
        first.unlink()
        await folder.until(lambda: folder.names() == {"a"})


async def test_the_target_of_a_link_is_followed(folder: Folder, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "real.yaml"
    target.parent.mkdir()
    target.write_text(upstream("a", 1000))
    (folder.root / "a.yaml").symlink_to(target)
    async with folder.watched():
        target.write_text(upstream("a", 2000))
        await folder.until(lambda: folder.port("a") == 2000)


async def test_the_folder_itself_may_be_a_link_that_is_swapped(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"release-{number}").mkdir()
        (tmp_path / f"release-{number}" / "a.yaml").write_text(upstream("a", number * 1000))
    (tmp_path / "current").symlink_to("release-1")
    async with Folder(tmp_path / "current").watched() as folder:
        assert folder.port("a") == 1000
        (tmp_path / "next").symlink_to("release-2")
        (tmp_path / "next").rename(tmp_path / "current")
        await folder.until(lambda: folder.port("a") == 2000)


async def test_when_the_folder_vanishes_everything_stays_until_it_returns(
    folder: Folder, tmp_path: Path
) -> None:
    folder.write("a.yaml", upstream("a", 1000))
    async with folder.watched():
        folder.root.rename(tmp_path / "away")
        await folder.until(folder.messages)
        assert folder.names() == {"a"}

        (tmp_path / "away" / "a.yaml").write_text(upstream("a", 2000))
        (tmp_path / "away").rename(folder.root)
        await folder.until(lambda: folder.port("a") == 2000)
        assert folder.messages() == []


async def test_an_empty_file_keeps_the_last_good_objects(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a"))
    async with folder.watched():
        folder.write("a.yaml", b"")
        await folder.until(folder.messages)
        assert folder.names() == {"a"}
        assert "the file is empty; delete it" in folder.messages()[0]


async def test_a_file_of_comments_alone_removes_its_objects(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a"))
    async with folder.watched():
        folder.write("a.yaml", "# moved away\n")
        await folder.until(lambda: folder.names() == set())
        assert folder.messages() == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (upstream("a").encode() + b"# \xff\n", "not UTF-8"),
        (upstream("a").encode() + b"#" * MAX_FILE_BYTES, "at most 4,194,304"),
        (b"", "empty"),
    ],
)
async def test_what_cannot_be_read_is_named_and_hides_nothing_else(
    folder: Folder, content: bytes, words: str
) -> None:
    folder.write("bad.yaml", content)
    folder.write("good.yaml", upstream("good"))

    async with folder.watched():
        assert folder.names() == {"good"}
        assert words in folder.messages()[0]
        assert f"{folder.root}/bad.yaml" in folder.messages()[0]


async def test_a_link_to_nothing_is_no_object_and_no_crash(folder: Folder) -> None:
    (folder.root / "a.yaml").symlink_to("missing.yaml")

    async with folder.watched():
        folder.write("b.yaml", upstream("b"))
        await folder.until(lambda: folder.names() == {"b"})


async def test_a_folder_named_like_a_file_is_a_folder(folder: Folder) -> None:
    folder.write("a.yaml/b.yaml", upstream("b"))

    async with folder.watched():
        assert folder.names() == {"b"}


async def test_links_in_a_circle_end(folder: Folder) -> None:
    folder.write("sub/a.yaml", upstream("a"))
    (folder.root / "sub" / "up").symlink_to("..")

    async with folder.watched():
        assert folder.names() == {"a"}
        assert folder.messages() == []


async def test_of_two_files_with_the_same_object_the_first_wins_and_both_are_named(
    folder: Folder,
) -> None:
    folder.write("1.yaml", upstream("a", 1000))
    folder.write("2.yaml", upstream("a", 2000))
    async with folder.watched():
        assert folder.port("a") == 1000
        (message,) = folder.messages()
        assert f"{folder.root}/2.yaml:1" in message
        assert f"already defined in {folder.root}/1.yaml:1" in message

        (folder.root / "1.yaml").unlink()
        await folder.until(lambda: folder.port("a") == 2000)
        assert folder.messages() == []


async def test_of_two_equal_objects_in_one_file_the_first_wins(folder: Folder) -> None:
    folder.write("1.yaml", upstream("a", 1000) + "---\n" + upstream("a", 2000))

    async with folder.watched():
        assert folder.port("a") == 1000
        assert "already defined in line 1" in folder.messages()[0]


async def test_a_touched_file_and_an_equal_rewrite_change_nothing(folder: Folder) -> None:
    path = folder.write("a.yaml", upstream("a"))
    async with folder.watched():
        revision = folder.store.revision
        os.utime(path)
        folder.write("a.yaml", "# a comment\n" + upstream("a"))
        folder.write("b.yaml", upstream("b"))
        await folder.until(lambda: "b" in folder.names())
        assert folder.store.revision == revision + 1


async def test_a_changed_specification_raises_the_generation(folder: Folder) -> None:
    folder.write("a.yaml", upstream("a", 1000))
    async with folder.watched():
        assert folder.store.get(ref("a")).metadata.generation == 1
        folder.write("a.yaml", upstream("a", 2000))
        await folder.until(lambda: folder.port("a") == 2000)
        assert folder.store.get(ref("a")).metadata.generation == 2


async def test_a_folder_that_is_not_there_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing is not there"):
        async with Folder(tmp_path / "missing").watched():
            pass


LARGE = "# " + "x" * 300_000 + "\n"


async def test_settled_includes_a_file_large_enough_to_be_parsed_in_a_thread(
    folder: Folder,
) -> None:
    async with folder.watched():
        folder.write("large.yaml", LARGE + upstream("large"))
        await folder.provider.settled()
        assert folder.names() == {"large"}


async def test_settled_includes_a_folder_that_was_just_made_and_filled(folder: Folder) -> None:
    async with folder.watched():
        for number in range(50):
            folder.write(f"new/{number}/a.yaml", upstream(f"u{number}"))
        await folder.provider.settled()
        assert len(folder.names()) == 50


async def test_settled_returns_at_once_when_nothing_was_written(folder: Folder) -> None:
    async with folder.watched():
        await asyncio.wait_for(folder.provider.settled(), 60)


async def test_everyone_who_asks_at_the_same_time_is_answered(folder: Folder) -> None:
    async with folder.watched():
        folder.write("a.yaml", LARGE + upstream("a"))
        await asyncio.gather(*(folder.provider.settled() for _ in range(5)))
        assert folder.names() == {"a"}


async def test_who_stops_asking_loses_nothing_of_what_was_written(folder: Folder) -> None:
    async with folder.watched():
        folder.write("a.yaml", LARGE + upstream("a"))
        asked = asyncio.ensure_future(folder.provider.settled())
        await asyncio.sleep(0)
        asked.cancel()
        await folder.provider.settled()
        assert folder.names() == {"a"}


async def test_whoever_waits_is_answered_when_following_ends(folder: Folder) -> None:
    async with folder.watched():
        folder.write("a.yaml", LARGE + upstream("a"))
        asked = asyncio.ensure_future(folder.provider.settled())
        await asyncio.sleep(0)
    await asyncio.wait_for(asked, 60)
    await asyncio.wait_for(folder.provider.settled(), 60)


def queue_limit() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


async def test_when_the_kernels_queue_overflows_everything_is_read_again(folder: Folder) -> None:
    one, two = folder.write("a.yaml", upstream("a")), folder.write("b.yaml", upstream("b"))
    async with folder.watched():
        # the loop does not run in between, so nobody empties the queue
        for _ in range(queue_limit() // 2 + 1):
            os.utime(one)
            os.utime(two)
        folder.write("lost.yaml", upstream("lost"))
        one.unlink()
        await folder.provider.settled()
        assert folder.names() == {"b", "lost"}


def refuse_watches(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kernel does at fs.inotify.max_user_watches, which a test must not change."""
    original = Inotify.add_watch

    def add_watch(self: Inotify, path: Path, mask: Mask) -> Watch:
        if path == folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, path, mask)

    monkeypatch.setattr(Inotify, "add_watch", add_watch)


async def test_a_watch_limit_reached_at_the_start_is_an_error_that_names_the_setting(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_watches(folder.root, monkeypatch)
    with pytest.raises(WatchLimitError, match=r"raise fs\.inotify\.max_user_watches"):
        async with folder.watched():
            pass


async def test_a_watch_limit_reached_later_is_a_problem_of_that_folder_and_its_files_are_read(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("a.yaml", upstream("a"))
    refuse_watches(folder.root / "new", monkeypatch)
    async with folder.watched():
        folder.write("new/b.yaml", upstream("b"))
        await folder.provider.settled()
        assert folder.names() == {"a", "b"}
        (message,) = folder.messages()
        assert f"cannot watch {folder.root}/new" in message
        assert "fs.inotify.max_user_watches" in message
