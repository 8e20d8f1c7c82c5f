"""What a write into a folder of many files costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import structlog

from fluxgate.resources import ObjectRef
from fluxgate_operator.providers.scan import Tree, scan
from fluxgate_operator.resource_clients.directory import DirectoryResources

OLD = """
apiVersion: gateway.fluxgate.io/v1alpha1
kind: Backend
metadata: {name: first}
spec: {url: "http://a.example.com"}
"""


def backend(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "gateway.fluxgate.io/v1alpha1",
        "kind": "Backend",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"url": "http://a.example.com"},
    }


def ref(name: str) -> ObjectRef:
    return ObjectRef("Backend", "default", name)


async def test_the_first_object_of_a_kind_costs_a_look_at_its_own_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.yaml").write_text(OLD)
    looked: list[Path] = []

    def scanned(root: Path) -> Tree:
        looked.append(root)
        return scan(root)

    async with DirectoryResources(tmp_path, structlog.get_logger()) as client:
        assert await client.get(ref("first"))
        monkeypatch.setattr("fluxgate_operator.resource_clients.folder_index.scan", scanned)
        await client.create(backend("orders"))

        assert await client.get(ref("orders"))
        assert set(looked) == {tmp_path / "backends"}


async def test_what_comes_into_a_new_folder_before_it_is_watched_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop.yaml").write_text(OLD)

    def scanned(root: Path) -> Tree:
        tree = scan(root)
        # after the look, and before the watch that follows it
        (root / "late.yaml").write_text(OLD.replace("first", "late"))
        return tree

    async with DirectoryResources(tmp_path, structlog.get_logger()) as client:
        assert await client.get(ref("first"))
        monkeypatch.setattr("fluxgate_operator.resource_clients.folder_index.scan", scanned)
        (tmp_path / "new").mkdir()
        assert await client.get(ref("late"))
