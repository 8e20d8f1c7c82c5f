"""Starting the admin API: the first key, the database, and what keeps it from starting."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from support.databases import Postgres, postgres
from support.fluxgate_run import COMMAND, FluxgateRun, environment, fluxgate_run
from support.standalone import GATEWAY

from fluxgate_admin.db import migrate

__all__ = ["postgres"]


def master_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def admin(
    folder: Path, *arguments: str, keys: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    """``fluxgate admin …`` with a state folder of the test."""
    command = [*COMMAND, "admin", *arguments, "--state-dir", str(folder / "state")]
    return subprocess.run(
        command,
        env={**environment(), "FLUXGATE_ADMIN_MASTER_KEYS": keys, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def first_key(folder: Path, keys: str) -> Mapping[str, str]:
    done = admin(folder, "bootstrap", "-o", "json", keys=keys)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_the_first_key_is_printed_once_and_kept_nowhere(tmp_path: Path) -> None:
    keys = master_key()

    first = first_key(tmp_path, keys)
    again = admin(tmp_path, "bootstrap", keys=keys)

    assert first["key"].startswith("sk_live_")
    assert first["signing_secret"].startswith("fss_")
    assert again.returncode == 2
    assert again.stdout == ""
    assert "has an active key" in again.stderr
    held = b"".join(each.read_bytes() for each in (tmp_path / "state").iterdir() if each.is_file())
    for secret in (first["key"], first["signing_secret"], keys):
        assert secret.encode() not in held
        assert secret not in again.stderr


def test_the_first_key_of_a_table_is_two_lines_for_people(tmp_path: Path) -> None:
    done = admin(tmp_path, "bootstrap", "--allow", "10.0.0.0/8", keys=master_key())

    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["key", "signing secret"]
    assert "not shown again" in done.stderr
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "admin.db")) as database:
        ((addresses,),) = database.execute("SELECT allowed_addresses FROM admin_keys").fetchall()
    assert json.loads(addresses) == ["10.0.0.0/8"]


@pytest.mark.parametrize(
    ("keys", "words"), [("", "master key"), ("short", "not 32 bytes in base64")]
)
def test_no_command_takes_missing_or_wrong_master_keys(
    tmp_path: Path, keys: str, words: str
) -> None:
    done = admin(tmp_path, "bootstrap", keys=keys)

    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_not_up_to_date_is_told_and_brought_there(
    tmp_path: Path, postgres: Postgres
) -> None:
    url = postgres.new_database()
    keys = master_key()
    before = admin(tmp_path, "bootstrap", "--database", url, keys=keys)
    assert before.returncode == 2
    assert "fluxgate admin migrate" in before.stderr

    done = admin(tmp_path, "migrate", "--database", url, keys="")

    assert done.stdout == f"at revision {migrate.head()}\n"
    assert asyncio.run(migrate.current(url)) == migrate.head()
    assert admin(tmp_path, "bootstrap", "--database", url, keys=keys).returncode == 0


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql+psycopg://fluxgate:canary@127.0.0.1:1/none"

    done = admin(tmp_path, "migrate", "--database", url, keys="")

    assert done.returncode == 1
    assert "127.0.0.1:1/none cannot be used" in done.stderr
    assert "canary" not in done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text(GATEWAY)
    return tmp_path


@contextlib.contextmanager
def run(home: Path, keys: str, *options: str) -> Iterator[FluxgateRun]:
    """``fluxgate run`` with the admin API on a free port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "support.fluxgate_run.environment",
            lambda: {**environment(), "FLUXGATE_ADMIN_MASTER_KEYS": keys},
        )
        with fluxgate_run(home, "--http-port", "0", "--admin-port", "0", *options) as running:
            yield running


@pytest.mark.envoy
def test_run_serves_it_beside_the_gateway_and_says_where(home: Path) -> None:
    keys = master_key()
    key = first_key(home, keys)["key"]

    with run(home, keys):
        line = (home / "stdout").read_text()
        url = line.split("admin=")[1].strip()
        answer = httpx.get(f"{url}/v2/routes", headers={"x-fluxgate-key": key})
        spoofed = {"x-fluxgate-key": key, "x-forwarded-for": "203.0.113.9"}
        assert answer.status_code == 200, answer.text
        assert httpx.get(f"{url}/v2/routes", headers=spoofed).status_code == 200
        assert "server" not in answer.headers
        unsigned = httpx.post(
            f"{url}/v2/routes", headers={"x-fluxgate-key": key}, json={"name": "a"}
        )
        assert unsigned.status_code == 401


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("keyless", "options", "words"),
    [
        (True, (), "fluxgate admin bootstrap"),
        (False, ("--admin-address", "0.0.0.0", "--admin-unsigned-writes"), "loopback alone"),
        (False, ("--admin-address", "192.0.2.1"), "cannot be served on 192.0.2.1"),
    ],
)
def test_run_ends_with_the_reason_when_it_cannot_be_served_safely(
    home: Path, keyless: bool, options: tuple[str, ...], words: str
) -> None:
    keys = master_key()
    if not keyless:
        first_key(home, keys)

    with run(home, keys, *options) as running:
        assert running.process.wait(30) == 2, running.stderr
        assert words in running.stderr
        assert "Traceback" not in running.stderr


@pytest.mark.envoy
def test_run_does_not_start_with_master_keys_that_open_nothing(home: Path) -> None:
    first_key(home, master_key())

    with run(home, master_key()) as running:
        assert running.process.wait(30) == 2, running.stderr
        assert "no master key opens" in running.stderr


@pytest.mark.envoy
def test_a_signing_key_that_is_lost_is_replaced_on_the_box_while_the_api_serves(
    home: Path,
) -> None:
    keys = master_key()
    first = first_key(home, keys)

    with run(home, keys):
        url = (home / "stdout").read_text().split("admin=")[1].strip()
        with httpx.Client(base_url=url, timeout=60) as client:
            made = []
            for how in ((), ("--revoke",)):
                done = admin(home, "rotate-signing-key", *how, "-o", "json", keys=keys)
                assert done.returncode == 0, done.stderr
                made.append(json.loads(done.stdout))
            published = client.get("/.well-known/jwks.json").json()["keys"]
            known = client.get("/v2/auth/whoami", headers={"x-fluxgate-key": first["key"]})

    assert made[1]["revoked"] == [made[0]["kid"]]
    assert [each["kid"] for each in published] == [made[1]["kid"]]
    assert known.status_code == 200


def test_a_master_key_is_replaced_in_steps_and_the_old_one_goes(tmp_path: Path) -> None:
    old, new = master_key(), master_key()
    first_key(tmp_path, old)

    refused = admin(tmp_path, "rewrap", keys=new)
    done = admin(tmp_path, "rewrap", "-o", "json", keys=f"{new} {old}")
    again = admin(tmp_path, "rewrap", keys=new)

    assert refused.returncode == 2
    assert "no master key opens admin_keys/" in refused.stderr
    assert json.loads(done.stdout) == {"secrets": 1, "sealed_anew": 1, "unreadable": 0}
    assert again.stdout.split() == ["secrets:", "1", "sealed", "anew:", "0"]
