"""Writing files whole or not at all."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from fluxgate_cli.files import write_atomically
from fluxgate_operator.providers.watch import FolderWatch


def test_a_new_file_has_the_mode_asked_for(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "key", "secret", mode=0o600)
    assert (tmp_path / "deep" / "key").read_text() == "secret"
    assert stat.S_IMODE((tmp_path / "deep" / "key").stat().st_mode) == 0o600


def test_an_old_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("old and longer")
    inode = file.stat().st_ino
    write_atomically(file, "new")
    assert file.read_text() == "new"
    assert file.stat().st_ino != inode


def test_without_replace_the_old_file_stays(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("old")
    with pytest.raises(FileExistsError):
        write_atomically(file, "new", replace=False)
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("replace", [True, False])
async def test_a_watcher_that_looks_late_sees_the_new_file(tmp_path: Path, replace: bool) -> None:
    with FolderWatch(tmp_path) as watch:
        watch.follow([tmp_path], [])
        write_atomically(tmp_path / "key.yaml", "kind: ApiKey", replace=replace)
        async with asyncio.timeout(60):
            changes = await anext(aiter(watch.changes()))
    assert changes.files == {tmp_path / "key.yaml"}
