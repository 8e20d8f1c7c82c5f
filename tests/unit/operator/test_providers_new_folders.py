"""Folders that appear below a watched one: read, and followed, without looking at the others again."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.operator.test_providers_directory import Folder, upstream

from fluxgate_operator.providers.scan import Stamp, Tree, scan, stamp_of


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    root = tmp_path / "config"
    root.mkdir()
    return Folder(root)


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files and folders that are looked at from now on."""
    paths: list[Path] = []

    def stamped(path: Path) -> Stamp:
        paths.append(path)
        return stamp_of(path)

    def scanned(root: Path) -> Tree:
        tree = scan(root)
        paths.extend((*tree.files, *tree.folders))
        return tree

    monkeypatch.setattr("fluxgate_operator.providers.directory.stamp_of", stamped)
    monkeypatch.setattr("fluxgate_operator.providers.directory.scan", scanned)
    return paths


async def test_a_new_folder_is_read_without_looking_at_the_others(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("old/a.yaml", upstream("a"))
    async with folder.watched():
        looked = looked_at(monkeypatch)
        folder.write("new/deep/b.yaml", upstream("b"))
        await folder.provider.settled()
        assert folder.names() == {"a", "b"}

        folder.write("new/c.yaml", upstream("c"))
        folder.write("new/deep/b.yaml", upstream("b", 2000))
        await folder.provider.settled()
        assert (folder.names(), folder.port("b")) == ({"a", "b", "c"}, 2000)
        assert {path.relative_to(folder.root).parts[0] for path in looked} == {"new"}


async def test_a_folder_moved_in_is_read_with_all_below_it(folder: Folder, tmp_path: Path) -> None:
    Folder(tmp_path).write("elsewhere/deep/a.yaml", upstream("a"))
    async with folder.watched():
        (tmp_path / "elsewhere").rename(folder.root / "here")
        await folder.provider.settled()
        assert folder.names() == {"a"}

        folder.write("here/deep/a.yaml", upstream("a", 2000))
        await folder.provider.settled()
        assert folder.port("a") == 2000


async def test_what_comes_into_a_new_folder_before_it_is_watched_is_read(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scanned(root: Path) -> Tree:
        tree = scan(root)
        # after the look, and before the watch that follows it
        (root / "late.yaml").write_text(upstream("late"))
        return tree

    async with folder.watched():
        monkeypatch.setattr("fluxgate_operator.providers.directory.scan", scanned)
        (folder.root / "new").mkdir()
        await folder.provider.settled()
        assert folder.names() == {"late"}


async def test_a_folder_that_came_and_went_leaves_nothing(folder: Folder) -> None:
    async with folder.watched():
        folder.write("brief/a.yaml", upstream("a")).unlink()
        (folder.root / "brief").rmdir()
        await folder.provider.settled()
        assert (folder.names(), folder.provider.problems) == (set(), ())

        folder.write("brief/b.yaml", upstream("b"))
        await folder.provider.settled()
        assert folder.names() == {"b"}


async def test_a_new_folder_that_a_link_led_to_already_is_seen_through_the_link(
    folder: Folder,
) -> None:
    (folder.root / "a.yaml").symlink_to("new/real.yaml")
    (folder.root / ".hidden").mkdir()
    (folder.root / ".hidden/real.yaml").write_text(upstream("a"))
    async with folder.watched():
        (folder.root / ".hidden").rename(folder.root / "new")
        await folder.provider.settled()
        assert folder.names() == {"a"}
        assert any("a.yaml" in each and "already defined" in each for each in folder.messages())


async def test_a_new_folder_with_links_is_read_through_them(folder: Folder, tmp_path: Path) -> None:
    Folder(tmp_path).write("outside/a.yaml", upstream("a"))
    (tmp_path / "coming").mkdir()
    (tmp_path / "coming/b.yaml").symlink_to(tmp_path / "outside/a.yaml")
    async with folder.watched():
        (tmp_path / "coming").rename(folder.root / "new")
        await folder.provider.settled()
        assert folder.names() == {"a"}

        Folder(tmp_path).write("outside/a.yaml", upstream("a", 2000))
        await folder.until(lambda: folder.port("a") == 2000)
