"""Certificates by path: whatever way a file becomes another, it is noticed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.certificates import Authority, Pair
from unit.translator.world import edge

from fluxgate.resources import ResourceStore, Secret
from fluxgate.translator.certificate_files import PROBLEM, files_of
from fluxgate_operator.providers.certificate_files import CertificateFileReader, read_files

AUTHORITY = Authority()
FIRST, SECOND = AUTHORITY.issue("example.com"), AUTHORITY.issue("example.com")
Change = Callable[[Path, Pair], None]


def write(folder: Path, pair: Pair) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "chain.pem").write_bytes(pair.certificate)
    (folder / "key.pem").write_bytes(pair.key)


class Watched:
    """A store with a GatewayConfig that names ``root/live/{chain,key}.pem``, being followed."""

    def __init__(self, root: Path) -> None:
        self.live = root / "live"
        files = {"certificate": str(self.live / "chain.pem"), "key": str(self.live / "key.pem")}
        tls = {"certificateFiles": [files]}
        config = edge(listeners=[{"name": "a", "port": 1, "protocol": "HTTPS", "tls": tls}])
        self.store = ResourceStore()
        self.store.upsert(config)
        self.changed = asyncio.Event()
        self.reader = CertificateFileReader(self.store, self.changed.set)
        (self._files,) = files_of(config)

    @property
    def certificate(self) -> bytes:
        found = self.store.get(self._files.ref)
        assert isinstance(found, Secret)
        return found.data["tls.crt"].reveal() if "tls.crt" in found.data else b""

    async def until(self, pair: Pair) -> None:
        async with asyncio.timeout(60):
            while self.certificate != pair.certificate:
                await self.changed.wait()
                self.changed.clear()


async def following(watched: Watched) -> asyncio.Task[None]:
    watched.reader.refresh()
    task = asyncio.create_task(watched.reader.run())
    await asyncio.sleep(0)  # it has begun to watch before its first wait
    return task


@pytest.fixture
async def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def in_place(live: Path, pair: Pair) -> None:
    write(live, pair)


def renamed(live: Path, pair: Pair) -> None:
    write(live / "new", pair)
    for name in ("chain.pem", "key.pem"):
        (live / "new" / name).rename(live / name)


def last_link(live: Path, pair: Pair) -> None:
    """certbot: live/chain.pem -> ../archive/chain2.pem"""
    archive = live.parent / "archive-2"
    write(archive, pair)
    for name in ("chain.pem", "key.pem"):
        (live / ".link").symlink_to(Path("..") / archive.name / name)
        (live / ".link").rename(live / name)


def data_link(live: Path, pair: Pair) -> None:
    """The kubelet: live/chain.pem -> ..data/chain.pem, ..data -> ..2"""
    write(live / "..2", pair)
    (live / "..new").symlink_to("..2")
    (live / "..new").rename(live / "..data")


@pytest.mark.parametrize("change", [in_place, renamed, last_link])
async def test_a_change_is_noticed(watched: Watched, change: Change) -> None:
    write(watched.live, FIRST)
    task = await following(watched)
    assert watched.certificate == FIRST.certificate
    change(watched.live, SECOND)
    await watched.until(SECOND)
    task.cancel()


async def test_files_behind_links_are_followed_as_they_change_themselves(watched: Watched) -> None:
    write(watched.live.parent / "archive-1", FIRST)
    watched.live.mkdir()
    for name in ("chain.pem", "key.pem"):
        (watched.live / name).symlink_to(Path("..") / "archive-1" / name)
    task = await following(watched)
    write(watched.live.parent / "archive-1", SECOND)
    await watched.until(SECOND)
    last_link(watched.live, FIRST)
    await watched.until(FIRST)
    task.cancel()


async def test_a_mounted_secret_is_followed(watched: Watched) -> None:
    write(watched.live / "..1", FIRST)
    (watched.live / "..data").symlink_to("..1")
    for name in ("chain.pem", "key.pem"):
        (watched.live / name).symlink_to(f"..data/{name}")
    task = await following(watched)
    assert watched.certificate == FIRST.certificate
    data_link(watched.live, SECOND)
    await watched.until(SECOND)
    task.cancel()


async def test_folders_that_are_not_there_yet_are_waited_for(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "one" / "two")
    task = await following(watched)
    assert watched.certificate == b""
    (tmp_path / "one").mkdir()
    write(watched.live, FIRST)
    await watched.until(FIRST)
    task.cancel()


async def test_links_that_lead_in_a_circle_are_a_problem_and_no_more(watched: Watched) -> None:
    watched.live.symlink_to("other")
    (watched.live.parent / "other").symlink_to("live")
    task = await following(watched)
    assert watched.certificate == b""
    watched.live.unlink()
    write(watched.live, FIRST)
    await watched.until(FIRST)
    task.cancel()


async def test_files_that_nobody_names_any_more_leave_the_store(watched: Watched) -> None:
    write(watched.live, FIRST)
    watched.reader.refresh()
    (files,) = files_of(watched.store.gateway_configs[0])
    watched.store.upsert(edge())
    assert watched.reader.refresh()
    assert watched.store.get(files.ref) is None


@pytest.mark.parametrize("what", ["a pipe", "a folder", "a device"])
def test_what_is_no_regular_file_is_refused_and_waited_for_by_nobody(
    tmp_path: Path, what: str
) -> None:
    path = Path("/dev/zero") if what == "a device" else tmp_path / "x"
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    files = {"certificate": str(path), "key": str(path)}
    tls = {"certificateFiles": [files]}
    (named,) = files_of(edge(listeners=[{"name": "a", "port": 1, "protocol": "HTTPS", "tls": tls}]))
    found = read_files(named)
    assert found.data[PROBLEM].reveal().decode() == f"{path} cannot be read: is no regular file"
