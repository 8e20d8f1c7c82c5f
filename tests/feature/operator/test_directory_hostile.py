"""Objects whose texts and names are meant to be more than texts and names, in a folder of files."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog

from fluxgate.errors import ResourceError
from fluxgate_operator.resource_clients.directory import DirectoryResources

HOSTILE = (
    "x\u0085y",
    "a\u2028b",
    "---\n---\nkind: Route",
    "&a [*a]",
    "*a",
    "<<",
    "!!python/object/apply:os.system [id]",
    "0x1F",
    "1:30",
    "yes",
    "~",
    "2001-01-01",
    "a\r\nb",
    "# c",
    "%YAML 1.1",
    "\n...\n",
    "\ufeffbom",
    "'\"\\",
    "\x1b[2J",
    "\x00",
)


async def test_no_text_of_a_caller_is_anything_but_text(tmp_path: Path) -> None:
    kind = {"apiVersion": "gateway.fluxgate.io/v1alpha1", "kind": "Plugin"}
    async with DirectoryResources(tmp_path, structlog.get_logger()) as resources:
        for index, text in enumerate(HOSTILE):
            document = {
                **kind,
                "metadata": {
                    "name": f"p{index}",
                    "namespace": "default",
                    "annotations": {"example.com/x": text},
                },
                "spec": {"type": "cors", "config": {text: [text, {"k": text}]}},
            }
            made = await resources.create(document)
            assert made.document == document, text
            document["spec"]["config"]["more"] = text
            assert (await resources.replace(document, made.version)).document == document, text
        assert len(await resources.list("Plugin")) == len(HOSTILE)


def files_below(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("..", "x"), ("default", ".."), ("default", "../../x"), ("a/b", "x"), ("default", "/etc/x")],
)
async def test_no_name_leads_out_of_the_folder(tmp_path: Path, namespace: str, name: str) -> None:
    root = tmp_path / "inner" / "folder"
    root.mkdir(parents=True)
    async with DirectoryResources(root, structlog.get_logger()) as resources:
        with pytest.raises(ResourceError):
            await resources.create(
                {
                    "apiVersion": "gateway.fluxgate.io/v1alpha1",
                    "kind": "Backend",
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {"url": "http://a.example.com"},
                }
            )
    assert files_below(tmp_path) == []
