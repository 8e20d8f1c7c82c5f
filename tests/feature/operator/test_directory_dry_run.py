"""What a folder says to a write before it is made: the same as to the write, and nothing in it is touched."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import structlog
import yaml

from fluxgate.errors import ResourceConflictError, ResourceStoreUnavailableError
from fluxgate.resources import ObjectRef
from fluxgate_operator.resource_clients.directory import DirectoryResources

A = ObjectRef("Backend", "default", "a")


def backend(name: str = "a", url: str = "http://a.example.com") -> dict:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"url": url},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "objects"
    made.mkdir()
    return made


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[DirectoryResources]:
    async with DirectoryResources(folder, structlog.get_logger(), lock_seconds=0.1) as found:
        yield found


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else b"",
            path.stat().st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
    }


async def test_no_file_and_no_folder_is_made_or_touched(client: DirectoryResources, folder: Path):
    await client.create(backend("b", "http://b.example.com"))
    made = await client.get(ObjectRef("Backend", "default", "b"))
    before = everything(folder)
    await client.create(backend(), dry_run=True)
    await client.replace(backend("b"), made.version, dry_run=True)
    await client.delete(made.ref, made.version, dry_run=True)
    pool = {**backend(), "kind": "Upstream", "spec": {"targets": [{"host": "a", "port": 1}]}}
    await client.create(pool, dry_run=True)
    assert everything(folder) == before


async def test_it_waits_for_no_other_writer(client: DirectoryResources, folder: Path):
    made = await client.create(backend())
    other = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ResourceStoreUnavailableError, match="another writer"):
            await client.create(backend("b"))
        await client.create(backend("b"), dry_run=True)
        await client.replace(backend("a", "http://new.example.com"), made.version, dry_run=True)
    finally:
        os.close(other)


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_file_where_a_folder_is_needed_is_found(
    client: DirectoryResources, folder: Path, *, dry_run: bool
):
    (folder / "backends").write_text("a file where a folder should be")
    with pytest.raises(ResourceStoreUnavailableError, match="needs a folder") as refused:
        await client.create(backend(), dry_run=dry_run)
    assert refused.value.unwritten


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_file_that_has_to_be_repaired_first_is_named(
    client: DirectoryResources, folder: Path, *, dry_run: bool
):
    file = folder / "a.yaml"
    file.write_text(yaml.safe_dump(backend()))
    found = await client.get(A)
    file.write_text("a: b: c")
    for call in (
        client.replace(backend("a", "http://b.example.com"), found.version, dry_run=dry_run),
        client.delete(A, found.version, dry_run=dry_run),
    ):
        with pytest.raises(ResourceStoreUnavailableError, match=r"a\.yaml cannot be read"):
            await call


def closed(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """As root everything may be written, so it is the system's answer about this path that changes."""
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda asked, mode: asked != path and allowed(asked, mode))


async def test_a_folder_that_may_not_be_written_is_told_without_its_path(
    client: DirectoryResources, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    made = await client.create(backend())
    closed(monkeypatch, folder / "backends")
    for call in (
        client.create(backend("b"), dry_run=True),
        client.replace(backend("a", "http://b.example.com"), made.version, dry_run=True),
        client.delete(A, made.version, dry_run=True),
    ):
        with pytest.raises(ResourceStoreUnavailableError, match="the server may not") as refused:
            await call
        assert str(folder) not in str(refused.value)


async def test_a_file_that_may_not_be_written_keeps_others_from_nothing(
    client: DirectoryResources, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    made = await client.create(backend())
    closed(monkeypatch, folder / "backends" / "default.a.yaml")
    with pytest.raises(ResourceStoreUnavailableError, match="the server may not"):
        await client.replace(backend("a", "http://b.example.com"), made.version, dry_run=True)
    await client.create(backend("b"), dry_run=True)


async def test_a_file_system_that_is_read_only_is_said_so(
    client: DirectoryResources, monkeypatch: pytest.MonkeyPatch
):
    """A test may not mount one."""
    whole = os.statvfs

    def read_only(path: Path) -> os.statvfs_result:
        found = list(whole(path))
        found[8] |= os.ST_RDONLY
        return os.statvfs_result(found)

    monkeypatch.setattr(os, "statvfs", read_only)
    with pytest.raises(ResourceStoreUnavailableError, match="read-only") as refused:
        await client.create(backend(), dry_run=True)
    assert refused.value.unwritten


async def test_a_version_that_went_while_nobody_looked_is_a_conflict(
    client: DirectoryResources, folder: Path
):
    made = await client.create(backend())
    file = folder / "backends" / "default.a.yaml"
    file.write_text(yaml.safe_dump(backend("a", "http://theirs.example.com")))
    with pytest.raises(ResourceConflictError):
        await client.replace(backend("a", "http://b.example.com"), made.version, dry_run=True)
