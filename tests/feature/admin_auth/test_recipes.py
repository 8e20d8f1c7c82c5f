"""The recipes of the guide sign what the server takes: run as their reader would, over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.admin_auth import Api, Signing, served
from support.curl import curl_folder
from support.documentation import DOCS

from fluxgate_admin.auth.scopes import VERBS

GUIDE = DOCS / "guide" / "admin-auth.md"
_RECIPE = re.compile(r"<!-- recipe (\S+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RECIPES = dict(_RECIPE.findall(GUIDE.read_text()))
BODY = json.dumps({"name": "café", "path": "/a b?c=%2f", "quote": "it's"}, ensure_ascii=False)


class Reader:
    """Somebody with the recipes in a folder, and a key."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self._url = url
        for name, text in RECIPES.items():
            (folder / name).write_text(text)

    async def run(self, recipe: str, who: Signing, *arguments: str) -> str:
        """What a recipe prints."""
        program = sys.executable if recipe.endswith(".py") else shutil.which("bash")
        assert program is not None
        environment = {
            "PATH": f"{curl_folder(self.folder / 'bin')}:{os.environ['PATH']}",
            "FLUXGATE_SERVER": self._url,
            "FLUXGATE_KEY": who.key,
            "FLUXGATE_SIGNING_SECRET": who.secret,
        }
        process = await asyncio.create_subprocess_exec(
            program,
            str(self.folder / recipe),
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return output.decode()


@pytest.fixture
async def reader(api: Api, tmp_path: Path) -> AsyncIterator[Reader]:
    async with served(api.app, proxy_headers=False) as url:
        yield Reader(tmp_path, url)


def test_there_is_one_for_the_shell_and_one_for_python() -> None:
    assert set(RECIPES) == {"request.sh", "request.py"}


@pytest.mark.parametrize("recipe", sorted(RECIPES))
@pytest.mark.parametrize(
    "target", ["/v2/things", "/v2/things?reason=a%20b&wait=all&x=%2f", "/v2/things?"]
)
async def test_a_recipe_writes(
    api: Api, admin: Signing, reader: Reader, recipe: str, target: str
) -> None:
    said = await reader.run(recipe, admin, "POST", target, BODY)
    assert json.loads(said)["got"] == json.loads(BODY)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
async def test_a_recipe_deletes_without_a_body(
    api: Api, admin: Signing, reader: Reader, recipe: str
) -> None:
    other, made = await api.new_key(admin)
    assert (await reader.run(recipe, admin, "DELETE", f"/v2/auth/keys/{made['id']}")).strip() == ""
    assert (await api.call(other, "GET", "/v2/things")).status_code == 401


@pytest.mark.parametrize("recipe", sorted(RECIPES))
async def test_a_recipe_with_another_secret_is_refused(
    api: Api, admin: Signing, reader: Reader, recipe: str
) -> None:
    wrong = Signing(admin.key, "fss_wrong")
    assert '"unauthenticated"' in await reader.run(recipe, wrong, "POST", "/v2/things", BODY)


@pytest.mark.parametrize("recipe", sorted(RECIPES))
async def test_a_recipe_can_be_used_again_at_once(
    api: Api, admin: Signing, reader: Reader, recipe: str
) -> None:
    for _ in range(2):
        assert '"got"' in await reader.run(recipe, admin, "POST", "/v2/things", "{}")


def test_the_guide_names_every_resource_of_a_scope_with_its_verbs() -> None:
    rows = [line for line in GUIDE.read_text().splitlines() if line.startswith("  | `")]
    named = {
        resource: tuple(re.findall(r"`(\w+)`", row.split("|")[2]))
        for row in rows
        for resource in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == dict(VERBS)
