"""Objects in a folder that people edit as well: where things go, what stays, and what is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import fcntl
import json
import os
import re
import sys
import threading
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
import yaml
from structlog.testing import capture_logs

from fluxgate.errors import (
    ResourceConflictError,
    ResourceError,
    ResourceNotFoundError,
    ResourceStoreUnavailableError,
)
from fluxgate.resources import ObjectRef, ResourceStore
from fluxgate_operator.providers.directory import DirectoryProvider
from fluxgate_operator.resource_clients import folder_writer
from fluxgate_operator.resource_clients.directory import DirectoryResources

NOON = dt.datetime(2024, 5, 6, 12, 0, 0, tzinfo=dt.UTC)


def backend(name: str, url: str = "http://a.example.com", namespace: str = "default") -> dict:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"url": url},
    }


def ref(name: str, namespace: str = "default") -> ObjectRef:
    return ObjectRef("Backend", namespace, name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.mkdir()
    return path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[DirectoryResources]:
    log = structlog.get_logger()
    async with DirectoryResources(folder, log, lock_seconds=0.3, now=lambda: NOON) as found:
        yield found


def files(folder: Path) -> list[str]:
    return sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())


SHOP = """\
# The shop's backends. Ask the shop team before you change them.

apiVersion: gateway.fluxgate.io/v1alpha1
kind: Backend
metadata: {name: first}   # without a namespace
spec:
  url: http://first.example.com   # the old one
---
# the second
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Backend
metadata:
    name: second
spec:
    url:   "http://second.example.com"
--- # not ours
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {key: canary}
"""


async def test_a_new_object_gets_a_file_of_its_own(client: DirectoryResources, folder: Path):
    made = await client.create(backend("orders", namespace="team-a"))
    assert files(folder) == ["backends/team-a.orders.yaml"]
    assert (folder / "backends/team-a.orders.yaml").read_text() == (
        "apiVersion: gateway.fluxgate.io/v1alpha1\n"
        "kind: Backend\n"
        "metadata:\n"
        "  name: orders\n"
        "  namespace: team-a\n"
        "  annotations:\n"
        '    gateway.fluxgate.io/created-at: "2024-05-06T12:00:00Z"\n'
        "spec:\n"
        "  url: http://a.example.com\n"
    )
    assert made.created_at == "2024-05-06T12:00:00Z"
    assert made.manager == "file:backends/team-a.orders.yaml"


async def test_the_time_it_was_made_outlives_every_change(client: DirectoryResources, folder: Path):
    made = await client.create(backend("a"))
    os.utime(folder / "backends/default.a.yaml", (0, 0))
    changed = await client.replace(backend("a", "http://b.example.com"), made.version)
    assert changed.created_at == "2024-05-06T12:00:00Z"


async def test_bookkeeping_stays_when_the_users_annotations_change(
    client: DirectoryResources, folder: Path
):
    kept = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "gateway.fluxgate.io/created-at": "2023-01-02T03:04:05Z",
    }
    document = backend("a")
    document["metadata"]["annotations"] = {**kept, "example.com/mine": "1"}
    (folder / "a.yaml").write_text(yaml.safe_dump(document))
    found = await client.get(ref("a"))
    changed = await client.replace(backend("a"), found.version)
    assert changed.created_at == found.created_at == "2023-01-02T03:04:05Z"
    assert yaml.safe_load((folder / "a.yaml").read_text())["metadata"]["annotations"] == kept


async def test_a_hand_written_object_is_as_old_as_its_file(
    client: DirectoryResources, folder: Path
):
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(backend("a")))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert (await client.get(ref("a"))).created_at == "2023-11-14T22:13:20Z"


async def test_an_object_among_others_is_changed_where_it_stands(
    client: DirectoryResources, folder: Path
):
    (folder / "shop.yaml").write_text(SHOP)
    (folder / "shop.yaml").chmod(0o640)
    second = await client.get(ref("second"))
    assert second.manager == "file:shop.yaml"
    await client.replace(backend("second", "http://new.example.com"), second.version)
    assert (folder / "shop.yaml").read_text() == SHOP.replace(
        'url:   "http://second.example.com"', 'url: "http://new.example.com"'
    )
    assert (folder / "shop.yaml").stat().st_mode & 0o777 == 0o640
    first = await client.get(ref("first"))
    await client.replace(backend("first", "http://new.example.com"), first.version)
    text = (folder / "shop.yaml").read_text()
    assert "  url: http://new.example.com     # the old one\n" in text  # in the same column
    assert "metadata: {name: first}   # without a namespace\n" in text


async def test_deleting_one_leaves_the_others_and_the_title(
    client: DirectoryResources, folder: Path
):
    (folder / "shop.yaml").write_text(SHOP)
    await client.delete(ref("first"))
    parts = SHOP.split("---", 1)
    assert (folder / "shop.yaml").read_text() == parts[0][: parts[0].index("api")] + "---" + parts[
        1
    ]
    await client.delete(ref("second"))
    assert "canary" in (folder / "shop.yaml").read_text()
    assert await client.list("Backend") == ()


async def test_a_file_goes_with_its_last_object(client: DirectoryResources, folder: Path):
    (folder / "a.yaml").write_text("---\n" + yaml.safe_dump(backend("a")) + "---\n")
    await client.delete(ref("a"))
    assert files(folder) == []


async def test_an_object_in_two_files_goes_from_both(client: DirectoryResources, folder: Path):
    (folder / "a.yaml").write_text(yaml.safe_dump(backend("a", "http://one.example.com")))
    (folder / "b.yaml").write_text(
        yaml.safe_dump_all([backend("a", "http://two.example.com")] * 2 + [backend("b")])
    )
    found = await client.get(ref("a"))
    assert found.document["spec"] == {"url": "http://one.example.com"}
    await client.delete(ref("a"), found.version)
    assert [each.ref for each in await client.list("Backend")] == [ref("b")]


async def test_json_stays_json(client: DirectoryResources, folder: Path):
    path = folder / "all.json"
    path.write_text(json.dumps([backend("a"), backend("b")], indent=4))
    found = await client.get(ref("a"))
    await client.replace(backend("a", "http://new.example.com"), found.version)
    assert path.read_text() == (
        json.dumps([backend("a", "http://new.example.com"), backend("b")], indent=4) + "\n"
    )
    await client.delete(ref("b"))
    await client.delete(ref("a"))
    assert files(folder) == []


async def test_a_name_that_is_taken_by_something_else_gets_a_number(
    client: DirectoryResources, folder: Path
):
    (folder / "backends").mkdir()
    (folder / "backends/default.a.yaml").write_text("# mine\n")
    await client.create(backend("a"))
    assert files(folder) == ["backends/default.a-2.yaml", "backends/default.a.yaml"]
    assert (folder / "backends/default.a.yaml").read_text() == "# mine\n"


async def test_the_longest_names_have_files(client: DirectoryResources, folder: Path):
    name = ".".join(["a" * 60] * 4)
    for each in (name, name[:-1] + "b"):
        await client.create(backend(each, namespace="n" * 63))
    assert len(files(folder)) == 2
    assert len(await client.list("Backend", "n" * 63)) == 2


async def test_a_link_stays_a_link(client: DirectoryResources, folder: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(yaml.safe_dump(backend("a")))
    (folder / "a.yaml").symlink_to(elsewhere)
    found = await client.get(ref("a"))
    await client.replace(backend("a", "http://new.example.com"), found.version)
    assert (folder / "a.yaml").is_symlink()
    assert "http://new.example.com" in elsewhere.read_text()


async def test_what_cannot_be_read_is_not_written_over(client: DirectoryResources, folder: Path):
    path = folder / "shop.yaml"
    path.write_text(SHOP)
    second = await client.get(ref("second"))
    broken = SHOP.replace('"http://second', '"http://[}')
    broken = broken.replace("kind: Backend\nmetadata:\n    name: second", "kind: [")
    path.write_text(broken)
    # what it said last is in force, and so it is shown
    assert (await client.get(ref("second"))).version == second.version
    with pytest.raises(ResourceStoreUnavailableError, match="cannot be read"):
        await client.replace(backend("second", "http://new.example.com"), second.version)
    assert path.read_text() == broken
    first = await client.get(ref("first"))  # its part can be read, and be changed
    await client.replace(backend("first", "http://new.example.com"), first.version)
    assert path.read_text() == broken.replace(
        "url: http://first.example.com   #", "url: http://new.example.com     #"
    )


async def test_an_invalid_object_can_be_repaired(client: DirectoryResources, folder: Path):
    wrong = {**backend("a"), "spec": {"url": "no url", "nothing": 1}}
    (folder / "a.yaml").write_text("# mine\n" + yaml.safe_dump(wrong))
    found = await client.get(ref("a"))
    assert found.document["spec"]["nothing"] == 1
    with pytest.raises(ResourceError):
        await client.replace(found.document, found.version)
    await client.replace(backend("a"), found.version)
    text = (folder / "a.yaml").read_text()
    assert text.startswith("# mine\n")
    assert yaml.safe_load(text)["spec"] == {"url": "http://a.example.com"}


async def test_documents_that_are_none_of_ours_are_left_alone(
    client: DirectoryResources, folder: Path
):
    (folder / "odd.yaml").write_text(
        "- a list\n---\nkind: Backend\n---\napiVersion: gateway.fluxgate.io/v1alpha1\nkind: Backend\n"
        "metadata: {name: a, labels: [x]}\n---\n"
        "apiVersion: gateway.fluxgate.io/v1alpha1\nkind: Backend\nmetadata: {name: .inf}\n"
    )
    assert await client.list("Backend") == ()


async def test_a_write_waits_for_another_writer_and_gives_up_in_time(
    client: DirectoryResources, folder: Path
):
    await client.create(backend("a"))
    other = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ResourceStoreUnavailableError, match="another writer"):
            await client.create(backend("b"))
        waiting = asyncio.create_task(client.create(backend("c")))
        await asyncio.sleep(0)
        fcntl.flock(other, fcntl.LOCK_UN)
        await waiting
    finally:
        os.close(other)
    assert [each.ref.name for each in await client.list("Backend")] == ["a", "c"]


async def test_a_folder_nobody_may_write_says_so(client: DirectoryResources, folder: Path):
    """As root everything may be written, so the folder's place is taken by a file."""
    (folder / "backends").write_text("a file where a folder should be")
    with pytest.raises(ResourceStoreUnavailableError, match="needs a folder") as refused:
        await client.create(backend("a"))
    assert refused.value.unwritten
    assert files(folder) == ["backends"]


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (errno.EROFS, "read-only; mount it for writing"),
        (errno.ENOSPC, "is full; free space there"),
        (errno.EDQUOT, "quota of the configuration folder of the server is used up"),
        (errno.EACCES, "the server may not do that"),
        (errno.ELOOP, "Too many levels of symbolic links"),
    ],
)
async def test_a_disk_that_refuses_is_told_by_its_cause_and_the_path_is_for_the_log_alone(
    client: DirectoryResources,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    cause: str,
):
    """As root every disk may be written, and a full one would fill the machine: the last call is one that fails."""

    def fails(draft: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number), str(draft))

    monkeypatch.setattr(folder_writer, "_fill", fails)
    with capture_logs() as logs, pytest.raises(ResourceStoreUnavailableError) as refused:
        await client.create(backend("a"))
    said = str(refused.value)
    assert said.startswith("Backend default/a: ")
    assert cause in said
    assert str(folder) not in said
    (logged,) = [each for each in logs if each["log_level"] == "warning"]
    assert logged["path"].startswith(str(folder / "backends"))
    assert logged["subject"] == "Backend default/a"


async def test_a_folder_that_is_gone_is_told_without_its_path(
    client: DirectoryResources, folder: Path
):
    await asyncio.to_thread(folder.rename, folder.with_name("away"))
    with pytest.raises(ResourceStoreUnavailableError, match="is not there") as refused:
        await client.get(ref("a"))
    assert str(folder.parent) not in str(refused.value)


async def test_a_file_that_keeps_an_object_from_being_changed_is_named_as_history_names_it(
    client: DirectoryResources, folder: Path
):
    (folder / "team").mkdir()
    file = folder / "team" / "a.yaml"
    file.write_text(yaml.safe_dump(backend("a")))
    found = await client.get(ref("a"))
    file.write_text("a: b: c")
    with pytest.raises(ResourceStoreUnavailableError) as refused:
        await client.replace(backend("a", "http://b.example.com"), found.version)
    assert "team/a.yaml cannot be read" in str(refused.value)
    assert str(folder) not in str(refused.value)


async def test_a_change_that_the_disk_does_not_confirm_may_be_made(
    client: DirectoryResources, monkeypatch: pytest.MonkeyPatch
):
    def fails(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(folder))

    monkeypatch.setattr(folder_writer, "_flush_folder", fails)
    with pytest.raises(ResourceStoreUnavailableError, match="may be lost") as refused:
        await client.create(backend("a"))
    assert not refused.value.unwritten
    assert [each.ref.name for each in await client.list("Backend")] == ["a"]


async def test_an_editor_that_saves_in_between_is_not_overwritten(
    client: DirectoryResources, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """The editor is a call in the middle of the write, because its moment lasts microseconds."""
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(backend("a")))
    found = await client.get(ref("a"))
    write = client._writer.write
    saves = iter(["http://theirs.example.com"])

    def save_first(*args: object) -> None:
        for url in saves:
            path.write_text(yaml.safe_dump(backend("a", url)))
        write(*args)

    monkeypatch.setattr(client._writer, "write", save_first)
    with pytest.raises(ResourceConflictError):
        await client.replace(backend("a", "http://mine.example.com"), found.version)
    assert "theirs" in path.read_text()
    assert files(folder) == ["a.yaml"]
    # a change of another object in the same file is no conflict
    both = [backend("a"), backend("b")]
    path.write_text(yaml.safe_dump_all(both))
    found = await client.get(ref("a"))
    others = iter([yaml.safe_dump_all([*both[:1], backend("b", "http://theirs.example.com")])])

    def save_other(*args: object) -> None:
        for text in others:
            path.write_text(text)
        write(*args)

    monkeypatch.setattr(client._writer, "write", save_other)
    await client.replace(backend("a", "http://mine.example.com"), found.version)
    urls = [each["spec"]["url"] for each in yaml.safe_load_all(path.read_text())]
    assert urls == ["http://mine.example.com", "http://theirs.example.com"]


async def test_an_editor_that_saves_right_before_the_file_is_read_is_not_overwritten_either(
    client: DirectoryResources, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    path = folder / "a.yaml"
    path.write_text(yaml.safe_dump(backend("a")))
    found = await client.get(ref("a"))
    edit = client._edit
    saves = iter(["http://theirs.example.com"])

    def save_first(*args: object) -> None:
        for url in saves:
            path.write_text(yaml.safe_dump(backend("a", url)))
        edit(*args)

    monkeypatch.setattr(client, "_edit", save_first)
    with pytest.raises(ResourceConflictError):
        await client.replace(backend("a", "http://mine.example.com"), found.version)
    assert "theirs" in path.read_text()


async def test_a_write_whose_caller_leaves_keeps_its_turn_to_the_end(
    client: DirectoryResources, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    write = client._writer.write
    began, go_on = threading.Event(), threading.Event()

    def slowly(*args: object) -> None:
        began.set()
        assert go_on.wait(30)
        write(*args)

    monkeypatch.setattr(client._writer, "write", slowly)
    leaving = asyncio.create_task(client.create(backend("a")))
    await asyncio.to_thread(began.wait)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    async with DirectoryResources(folder, structlog.get_logger(), lock_seconds=0.1) as other:
        with pytest.raises(ResourceStoreUnavailableError, match="another writer"):
            await other.create(backend("b"))
        go_on.set()
        await client.close()
        assert [each.ref for each in await other.list("Backend")] == [ref("a")]
        await other.create(backend("b"))


async def test_everything_written_before_a_read_is_in_it(client: DirectoryResources, folder: Path):
    for number in range(30):
        (folder / f"sub{number}").mkdir()
        path = folder / f"sub{number}" / "a.yaml"
        path.write_text(yaml.safe_dump(backend(f"a{number}")))
        assert len(await client.list("Backend")) == number + 1
    for number in range(30):
        (folder / f"sub{number}").rename(folder / f"moved{number}")
    assert len(await client.list("Backend")) == 30
    for number in range(30):
        (folder / f"moved{number}" / "a.yaml").unlink()
        with pytest.raises(ResourceNotFoundError):
            await client.get(ref(f"a{number}"))


async def test_the_gateway_reads_what_was_written(client: DirectoryResources, folder: Path):
    store = ResourceStore()
    provider = DirectoryProvider(folder, store, lambda: None)
    running = asyncio.create_task(provider.run())
    try:
        made = await client.create(backend("a"))
        await provider.settled()
        assert store.get(ref("a")) is not None
        await client.replace(backend("a", "http://new.example.com"), made.version)
        await provider.settled()
        assert store.get(ref("a")).spec.url == "http://new.example.com"
        await client.delete(ref("a"))
        await provider.settled()
        assert store.get(ref("a")) is None
        assert provider.problems == ()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


WRITER = """
import asyncio, sys, structlog
from pathlib import Path
from fluxgate_operator.resource_clients import folder_writer
from fluxgate_operator.resource_clients.directory import DirectoryResources

async def main():
    async with DirectoryResources(Path(sys.argv[1]), structlog.get_logger()) as client:
        number = 0
        found = await client.list("Backend")
        while True:
            for each in found:
                number += 1
                spec = {"url": f"http://{'x' * 60}{number}.example.com"}
                found = [await client.replace({**each.document, "spec": spec}, each.version)]
                print(number, flush=True)

asyncio.run(main())
"""


async def test_whoever_reads_while_it_is_written_sees_one_version_or_the_next(
    client: DirectoryResources, folder: Path
):
    await client.create(backend("a", f"http://{'x' * 60}0.example.com"))
    path = folder / "backends/default.a.yaml"
    whole = re.compile(r"apiVersion: .*spec:\n  url: http://x{60}\d+\.example\.com\n", re.DOTALL)
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(folder), stdout=PIPE
    )
    assert writer.stdout is not None
    try:
        assert await writer.stdout.readline()
        seen = {path.read_text() for _ in range(20_000)}
    finally:
        writer.kill()
        await writer.communicate()
    assert len(seen) > 10
    assert [text for text in seen if not whole.fullmatch(text)] == []


async def test_a_writer_that_is_killed_leaves_whole_files_and_no_lock(
    client: DirectoryResources, folder: Path
):
    await client.create(backend("a"))
    for kills in (0, 3):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(folder), stdout=PIPE
        )
        assert writer.stdout is not None
        try:
            for _ in range(kills * 3 + 1):
                assert await writer.stdout.readline()
        finally:
            writer.kill()
            await writer.communicate()
        found = await client.get(ref("a"))
        assert found.document["spec"]["url"].endswith(".example.com")
        await client.replace(backend("a"), found.version)
    # a draft that was left behind is hidden, and goes with the next writer
    draft = folder / "backends/.fluxgate-0123456789abcdef.new"
    draft.write_text("half a fi")
    assert len(await client.list("Backend")) == 1
    async with DirectoryResources(folder, structlog.get_logger()) as fresh:
        await fresh.create(backend("b"))
    assert files(folder) == ["backends/default.a.yaml", "backends/default.b.yaml"]
