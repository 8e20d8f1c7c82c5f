"""``fluxgate api-keys`` on a real folder."""

from __future__ import annotations

import json
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from support.commandline import Fluxgate

from fluxgate.apikeys import digest, parse

GATEWAY = """\
apiVersion: gateway.fluxgate.io/v1alpha1
kind: GatewayConfig
metadata: {name: main}
spec:
  listeners: [{name: http, port: 8080}]
  plans: [{name: demo, requests: 60}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    return tmp_path


def create(fluxgate: Fluxgate, folder: Path, *options: object) -> str:
    made = fluxgate("api-keys", "create", "--config", folder, *options)
    assert made.code == 0, made.err
    return made.out.strip()


def listing(fluxgate: Fluxgate, folder: Path) -> list[dict[str, object]]:
    shown = fluxgate("api-keys", "list", "--config", folder, "-o", "json")
    assert shown.code == 0, shown.err
    found: list[dict[str, object]] = json.loads(shown.out)
    return found


def test_the_key_is_the_only_thing_on_standard_output(fluxgate: Fluxgate, folder: Path) -> None:
    key = create(fluxgate, folder, "--name", "ci")
    assert parse(key).prefix == "flx_live_"
    assert "\n" not in key


def test_the_folder_holds_the_hash_and_not_the_key(fluxgate: Fluxgate, folder: Path) -> None:
    key = create(fluxgate, folder, "--name", "ci", "--plan", "demo", "--scope", "orders:read")
    text = (folder / "api-keys" / "ci.yaml").read_text()
    assert key not in text
    spec = yaml.safe_load(text)["spec"]
    assert spec == {
        "hash": digest(key),
        "prefix": "flx_live_",
        "lastFour": key[-4:],
        "displayName": "ci",
        "audience": "project",
        "plan": "demo",
        "scopes": ["orders:read"],
    }


def test_every_option_arrives_in_the_manifest(fluxgate: Fluxgate, folder: Path) -> None:
    create(
        fluxgate, folder, "--name", "Build Server", "--prefix", "flc_service_", "--namespace", "shop",
        "--tenant", "acme", "--workspace", "w1", "--subject", "s1", "--role", "app",
        "--allow-cidr", "10.0.0.0/8", "--expires-in", "90d",
    )  # fmt: skip
    document = yaml.safe_load((folder / "api-keys" / "shop.build-server.yaml").read_text())
    assert document["metadata"] == {"name": "build-server", "namespace": "shop"}
    spec = document["spec"]
    assert spec["displayName"] == "Build Server"
    assert (spec["tenant"], spec["workspace"], spec["subject"], spec["role"]) == (
        "acme", "w1", "s1", "app",
    )  # fmt: skip
    assert spec["allowedCidrs"] == ["10.0.0.0/8"]
    left = datetime.fromisoformat(spec["expiresAt"]) - datetime.now(UTC)
    assert timedelta(days=89, hours=23) < left <= timedelta(days=90)


def test_two_keys_are_never_the_same(fluxgate: Fluxgate, folder: Path) -> None:
    assert create(fluxgate, folder, "--name", "a") != create(fluxgate, folder, "--name", "b")


def test_a_name_that_is_taken_is_refused_and_its_file_stays(
    fluxgate: Fluxgate, folder: Path
) -> None:
    create(fluxgate, folder, "--name", "ci")
    before = (folder / "api-keys" / "ci.yaml").read_bytes()
    again = fluxgate("api-keys", "create", "--name", "ci", "--config", folder)
    assert again.code == 2
    assert again.out == ""
    assert "already defined" in again.err
    assert (folder / "api-keys" / "ci.yaml").read_bytes() == before


def test_a_file_that_is_in_the_way_is_never_overwritten(fluxgate: Fluxgate, folder: Path) -> None:
    (folder / "api-keys").mkdir()
    (folder / "api-keys" / "ci.yaml").write_text("# mine\n")
    refused = fluxgate("api-keys", "create", "--name", "ci", "--config", folder)
    assert refused.code == 2
    assert (folder / "api-keys" / "ci.yaml").read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--prefix", "flx_prod_"], "Known prefixes: flc_anon_"),
        (["--plan", "gold"], "Known plans: demo"),
        (["--expires-in", "soon"], "write for example 90d"),
        (["--allow-cidr", "10.0.0.0/40"], "allowedCidrs"),
        (["--scope", "not a scope"], "scopes"),
        (["--subject", "new\nline"], "subject"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(
    fluxgate: Fluxgate, folder: Path, options: list[str], words: str
) -> None:
    refused = fluxgate("api-keys", "create", "--name", "ci", "--config", folder, *options)
    assert refused.code == 2
    assert words in refused.err
    assert "Traceback" not in refused.err
    assert not (folder / "api-keys").exists()


def test_nothing_is_left_beside_the_manifest(fluxgate: Fluxgate, folder: Path) -> None:
    create(fluxgate, folder, "--name", "ci")
    assert [path.name for path in (folder / "api-keys").iterdir()] == ["ci.yaml"]


def test_a_revoked_key_says_so_and_keeps_its_comments(fluxgate: Fluxgate, folder: Path) -> None:
    create(fluxgate, folder, "--name", "ci")
    file = folder / "api-keys" / "ci.yaml"
    file.write_text(file.read_text() + "# the end\n")
    file.chmod(0o600)
    before = file.read_text().splitlines()
    done = fluxgate("api-keys", "revoke", "ci", "--config", folder)
    assert done.code == 0, done.err
    after = file.read_text().splitlines()
    assert [line for line in after if line in before] == before
    assert [line.split(":")[0].strip() for line in after if line not in before] == [
        "revoked",
        "revokedAt",
    ]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [view["state"] for view in listing(fluxgate, folder)] == ["revoked"]


def test_revoking_twice_changes_nothing(fluxgate: Fluxgate, folder: Path) -> None:
    create(fluxgate, folder, "--name", "ci")
    fluxgate("api-keys", "revoke", "ci", "--config", folder)
    before = (folder / "api-keys" / "ci.yaml").read_bytes()
    again = fluxgate("api-keys", "revoke", "ci", "--config", folder)
    assert (again.code, "revoked already" in again.err) == (0, True)
    assert (folder / "api-keys" / "ci.yaml").read_bytes() == before


def test_an_unknown_key_cannot_be_revoked(fluxgate: Fluxgate, folder: Path) -> None:
    create(fluxgate, folder, "--name", "ci")
    refused = fluxgate("api-keys", "revoke", "cd", "--config", folder)
    assert refused.code == 2
    assert "There is: ci" in refused.err


def test_the_list_shows_what_is_needed_and_not_the_hash(fluxgate: Fluxgate, folder: Path) -> None:
    key = create(fluxgate, folder, "--name", "ci", "--plan", "demo")
    (view,) = listing(fluxgate, folder)
    assert view["key"] == f"flx_live_…{key[-4:]}"
    assert (view["name"], view["plan"], view["state"]) == ("ci", "demo", "active")
    table = fluxgate("api-keys", "list", "--config", folder)
    assert re.search(r"^ci +flx_live_…\w{4} +active +demo", table.out, re.MULTILINE)
    assert digest(key) not in table.out


def test_a_key_past_its_time_is_listed_as_expired(fluxgate: Fluxgate, folder: Path) -> None:
    create(fluxgate, folder, "--name", "ci", "--expires-in", "1d")
    file = folder / "api-keys" / "ci.yaml"
    file.write_text(re.sub(r"expiresAt: .*", "expiresAt: '2020-01-01T00:00:00Z'", file.read_text()))
    assert [view["state"] for view in listing(fluxgate, folder)] == ["expired"]


def test_a_folder_that_is_not_there_is_named(fluxgate: Fluxgate, tmp_path: Path) -> None:
    refused = fluxgate("api-keys", "list", "--config", tmp_path / "nowhere")
    assert refused.code == 2
    assert str(tmp_path / "nowhere") in refused.err
