"""The quick start as a new user meets it: one command, one line, and the README's examples."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.client import request
from support.console import Example, checked_examples, run_example, shape
from support.quickstart import ROOT, START_SECONDS, STOP_SECONDS, Running, quickstart

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with quickstart(tmp_path_factory.mktemp("readme") / "quickstart") as started:
        yield started


def as_here(running: Running, text: str) -> str:
    """The README's addresses and folders, as they are in this test."""
    return (
        text.replace("http://127.0.0.1:8080", running.gateway)
        .replace("http://127.0.0.1:8090", running.admin)
        .replace(".fluxgate/quickstart", str(running.home))
        .replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    )


def examples() -> list[Example]:
    return list(checked_examples((ROOT / "README.md").read_text(encoding="utf-8")))


def test_the_readme_shows_every_answer_a_new_user_meets() -> None:
    text = "\n".join("\n".join(each.answer) for each in examples())
    for status in ("200", "401", "404", "429"):
        assert re.search(rf"^(HTTP/1.1 )?{status}\b", text, re.MULTILINE), status
    assert "retry-after" in text


def test_the_readmes_commands_answer_as_printed(running: Running) -> None:
    environment = {"KEY": running.key, "ADMIN_KEY": running.admin_key}
    for example in examples():
        answer = [
            shape(line)
            for line in run_example(as_here(running, example.command), ROOT, environment)
        ]
        printed = [shape(as_here(running, line)) for line in example.answer]
        assert answer == printed, example.command


def test_the_ready_line_is_the_only_line_on_standard_output(tmp_path: Path) -> None:
    with quickstart(tmp_path / "quickstart") as started:
        assert request(started.port, "/public/x").status == 200
        code, rest = started.stop()
        assert (code, rest) == (0, "")


def test_an_interrupt_ends_every_process(tmp_path: Path) -> None:
    with quickstart(tmp_path / "quickstart") as started:
        family = psutil.Process(started.process.pid).children(recursive=True)
        assert {child.name() for child in family} >= {"envoy"}
        started.stop()
        _, alive = psutil.wait_procs(family, timeout=STOP_SECONDS)
        assert alive == []


def test_a_second_start_keeps_the_key_and_the_users_edits(tmp_path: Path) -> None:
    home = tmp_path / "quickstart"
    with quickstart(home) as started:
        first = started.key
        started.stop(signal.SIGTERM)
    routes = home / "config" / "routes.yaml"
    routes.write_text(routes.read_text().replace("/public", "/open"))
    with quickstart(home) as started:
        assert started.key == first
        assert request(started.port, "/open/x").status == 200
        assert request(started.port, "/public/x").status == 404


def test_the_demo_key_is_for_its_owner_only(running: Running) -> None:
    file = running.home / "demo-key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() == running.key
    held = "".join(path.read_text() for path in (running.home / "config").rglob("*.yaml"))
    assert running.key not in held


def test_the_key_of_the_admin_api_is_for_its_owner_only_and_kept(running: Running) -> None:
    for name in ("admin-key", "admin-master-key"):
        assert stat.S_IMODE((running.home / name).stat().st_mode) == 0o600
    assert (running.home / "admin-key").read_text().split()[0] == running.admin_key
    held = b"".join(path.read_bytes() for path in (running.home / "state").glob("admin.db*"))
    assert running.admin_key.encode() not in held


CURL = """curl -s -w '\\n%{{http_code}}' -X POST {admin}/v2/routes \
  --header "Content-Type: application/json" \
  --header "X-Fluxgate-Key: {key}" \
  --data '{{ "name": "payments-service-v2", "match": {{"path": "/api/v2/payments/*", "methods": ["POST", "GET"]}}, "upstream": "https://pay.internal.mesh:8443", "plugins": [{{"id": "jwt_auth", "config": {{"issuer": "https://auth.acme.com"}}}}] }}'"""
"""The command of the API's document, with this instance's address and key in place of its own."""


def test_the_documents_curl_command_answers_as_the_document_says(tmp_path: Path) -> None:
    with quickstart(tmp_path / "quickstart") as started:
        command = CURL.format(admin=started.admin, key=started.admin_key)
        shown = subprocess.run(
            command, shell=True, check=True, capture_output=True, text=True
        ).stdout
        body, _, status = shown.rpartition("\n")
        answer = json.loads(body)
        assert status == "201"
        assert re.fullmatch(r"rt_[a-z0-9]+", answer.pop("id"))
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.pop("created_at"))
        assert answer == {"status": "active", "sync_status": "propagated_to_all_nodes"}
        # the very next request is the route's: it asks for a token
        refused = request(started.port, "/api/v2/payments/1")
        assert refused.status == 401
        assert "Jwt is missing" in refused.body.decode()


def test_the_committed_example_stays_as_it_is(running: Running) -> None:
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--", "examples"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert [line for line in changed.splitlines() if line.endswith(".yaml")] == []


def test_the_echo_ends_when_the_quick_start_is_killed(tmp_path: Path) -> None:
    with quickstart(tmp_path / "quickstart") as started:
        family = psutil.Process(started.process.pid).children(recursive=True)
        echoes = [child for child in family if "echo.py" in " ".join(child.cmdline())]
        started.process.kill()
        started.process.wait()
        try:
            _, alive = psutil.wait_procs(echoes, timeout=STOP_SECONDS)
            assert (len(echoes), alive) == (1, [])
        finally:
            for child in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()


def test_a_port_that_is_taken_is_an_error_and_not_a_hang(running: Running, tmp_path: Path) -> None:
    port = str(running.port)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "examples/quickstart/start.py"],
        cwd=ROOT,
        env={
            **os.environ,
            "FLUXGATE_HTTP_PORT": port,
            "FLUXGATE_QUICKSTART_DIR": str(tmp_path / "q"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert port in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - started < START_SECONDS
