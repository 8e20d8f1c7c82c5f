"""Bad input and bad luck, through the real ``fluxgate run``.

Every case is told on standard error and by ``fluxgate status -o json``, in words that
name the file, the object or the field; the rest is served meanwhile; the repair is
served without a restart.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.fluxgate_run import FluxgateRun, fluxgate_run
from support.ports import free_port
from support.standalone import API, GATEWAY, route
from support.upstream import EchoUpstream

from fluxgate.apikeys.format import digest, mint

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def echo() -> Iterator[EchoUpstream]:
    with EchoUpstream() as upstream:
        yield upstream


def filled(home: Path, echo: EchoUpstream) -> Path:
    config = home / "config"
    config.mkdir()
    (config / "gateway.yaml").write_text(GATEWAY)
    (config / "echo.yaml").write_text(route("echo", "/echo", echo.port))
    return home


@pytest.fixture
def home(tmp_path: Path, echo: EchoUpstream) -> Path:
    return filled(tmp_path, echo)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, echo: EchoUpstream) -> Iterator[FluxgateRun]:
    with fluxgate_run(filled(tmp_path_factory.mktemp("home"), echo)) as process:
        yield process


@pytest.fixture
def running(process: FluxgateRun) -> FluxgateRun:
    """One process for all tests, back to its first files before each of them."""
    (process.home / "config" / "new.yaml").unlink(missing_ok=True)
    process.write("gateway.yaml", GATEWAY)
    assert process.settled()["served"]
    process.begin()
    return process


def said_of(status: dict[str, Any], kind: str, name: str) -> str:
    """Every condition of an object that is not true, in one line."""
    for each in status["objects"]:
        if (each["kind"], each["name"]) == (kind, name):
            bad = [one for one in each["conditions"] if not one["status"]]
            return "; ".join(f"{one['reason']}: {one['message']}" for one in bad)
    return ""


def problems(status: dict[str, Any]) -> list[str]:
    return [
        f"{Path(each['file']).name}:{each['line']}: {each['subject']}: {each['message']}"
        for each in status["problems"]
    ]


def repaired(running: FluxgateRun, name: str, echo: EchoUpstream) -> None:
    """The file says something good now: it is served, and nobody complains any more."""
    running.write(name, route("new", "/new", echo.port))
    status = running.settled()
    assert status["served"], status
    assert not status["problems"]
    assert said_of(status, "Route", "new") == ""
    assert running.get("/new").status == 200
    assert running.get("/echo").status == 200


BAD_FILES = [
    pytest.param(
        "kind: Route\n  metadata: {name: new}\n",
        "new.yaml:2",
        "not YAML",
        id="malformed YAML",
    ),
    pytest.param(
        route("new", "/new", 9, "  retires: 3\n"),
        "new.yaml:8",
        "spec.retires",
        id="an unknown field",
    ),
    pytest.param(
        b"# caf\xe9\n" + route("new", "/new", 9).encode(),
        "new.yaml:1",
        "not UTF-8: byte 0xe9",
        id="a file that is not UTF-8",
    ),
    pytest.param(
        route("new", f"{{type: Regex, value: /{'a' * 1024 * 1024}}}", 9),
        "new.yaml:5",
        "spec.matches[0].path.value",
        id="a regular expression of 1 MB",
    ),
    pytest.param(b"", "new.yaml", "the file is empty", id="a file of 0 bytes"),
]


@pytest.mark.parametrize(("text", "place", "words"), BAD_FILES)
def test_a_file_that_cannot_be_used_is_named_with_its_place_and_the_rest_is_served(
    running: FluxgateRun, echo: EchoUpstream, text: str | bytes, place: str, words: str
) -> None:
    running.write("new.yaml", text)

    assert words in running.said("a file has a problem", place)
    (problem,) = problems(running.settled())
    assert place in problem
    assert words in problem
    assert running.get("/echo").status == 200
    assert running.get("/new").status == 404
    repaired(running, "new.yaml", echo)


@pytest.mark.parametrize(("text", "place", "words"), BAD_FILES)
def test_a_good_file_that_becomes_unusable_goes_on_being_served_as_it_was(
    running: FluxgateRun, echo: EchoUpstream, text: str | bytes, place: str, words: str
) -> None:
    running.write("new.yaml", route("new", "/new", echo.port))
    assert running.settled()["served"]
    running.write("new.yaml", text)

    running.said("a file has a problem", place)
    assert problems(running.settled())
    assert running.get("/new").status == 200
    repaired(running, "new.yaml", echo)


def test_a_key_whose_file_becomes_0_bytes_keeps_working_until_the_file_is_removed(
    running: FluxgateRun, echo: EchoUpstream
) -> None:
    key = mint("flx_test_", b"a key of 20 bytes or more")
    document = (
        API + f"kind: ApiKey\nmetadata: {{name: new}}\nspec:\n  hash: {digest(key)}\n"
        f'  prefix: flx_test_\n  lastFour: "{key[-4:]}"\n'
    )
    open_route = route("private", "/private", echo.port)
    closed = open_route.replace("{mode: None}", "{mode: Required}")
    running.write("private.yaml", closed)
    path = running.write("key.yaml", document)
    assert running.settled()["served"]
    assert running.get("/private", [("apikey", key)]).status == 200

    running.write("key.yaml", "")
    assert "the file is empty" in running.said("a file has a problem", "key.yaml")
    (problem,) = problems(running.settled())
    assert "key.yaml" in problem
    assert running.get("/private", [("apikey", key)]).status == 200
    assert running.get("/private").status == 401

    path.unlink()
    status = running.settled()
    assert (status["served"], status["problems"]) == (True, [])
    assert running.get("/private", [("apikey", key)]).status == 401
    (running.home / "config" / "private.yaml").unlink()


def test_a_reference_that_leads_nowhere_is_said_on_its_object(
    running: FluxgateRun, echo: EchoUpstream
) -> None:
    running.write(
        "new.yaml",
        API + "kind: Route\nmetadata: {name: new}\nspec:\n  auth: {mode: None}\n"
        "  matches: [{path: {value: /new}}]\n  backends: [{kind: Upstream, name: nowhere}]\n",
    )
    line = running.said("Route default/new", "nowhere")
    assert "new.yaml" in line

    assert "Upstream default/nowhere" in said_of(running.settled(), "Route", "new")
    assert running.get("/new").status == 502
    assert running.get("/echo").status == 200
    repaired(running, "new.yaml", echo)


def test_of_two_routes_in_conflict_the_one_that_loses_says_so(
    running: FluxgateRun, echo: EchoUpstream
) -> None:
    running.write("new.yaml", route("new", "/echo", 9))

    assert "Route default/echo" in running.said("Route default/new", "Conflicted")
    status = running.settled()
    assert "Conflicted" in said_of(status, "Route", "new")
    assert said_of(status, "Route", "echo") == ""
    assert running.get("/echo").status == 200
    repaired(running, "new.yaml", echo)


def test_what_only_envoy_rejects_is_set_aside_with_its_words(
    running: FluxgateRun, echo: EchoUpstream
) -> None:
    too_complex = '{type: Regex, value: "/((a|b){300}|(c|d){300})z"}'
    running.write("new.yaml", route("new", too_complex, echo.port))

    assert "program size" in running.said("envoy rejects an object", "Route default/new")
    assert "program size" in said_of(running.settled(), "Route", "new")
    assert running.get("/echo").status == 200
    repaired(running, "new.yaml", echo)


def test_an_envoy_that_is_killed_comes_back_with_everything(
    running: FluxgateRun, echo: EchoUpstream
) -> None:
    running.write("new.yaml", route("new", "/new", echo.port))
    (gateway,) = running.settled()["gateways"]
    os.kill(gateway["envoy_pid"], signal.SIGKILL)

    running.said("envoy ended; restarting", "killed by SIGKILL")
    status = running.until(
        lambda: (found := running.settled())["gateways"][0]["envoy_restarts"] and found,
        "the restart in the status",
    )
    assert status["served"]
    assert status["gateways"][0]["envoy_pid"] != gateway["envoy_pid"]
    assert running.get("/new").status == 200
    assert running.get("/echo").status == 200


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield port


def test_a_port_that_is_taken_at_the_start_ends_it_with_the_port_and_a_remedy(home: Path) -> None:
    with taken_port() as port:
        with fluxgate_run(home, "--http-port", str(port)) as process:
            assert process.process.wait(60) == 2
        assert f"already listens on 127.0.0.1:{port}" in process.stderr
        assert "choose another port" in process.stderr
    with fluxgate_run(home, "--http-port", str(port)) as process:
        assert process.get("/echo").status == 200


def test_a_port_that_is_taken_by_an_edit_leaves_only_that_listener_out(
    running: FluxgateRun,
) -> None:
    with taken_port() as port:
        second = f"address: 127.0.0.1}}, {{name: second, port: {port}, address: 127.0.0.1}}]"
        running.write("gateway.yaml", GATEWAY.replace("address: 127.0.0.1}]", second))

        words = f"another process already listens on 127.0.0.1:{port}"
        assert words in running.said("gateway.yaml", "GatewayConfig default/main")
        status = running.settled()
        assert words in said_of(status, "GatewayConfig", "main")
        assert any(words in problem for problem in problems(status))
        assert running.get("/echo").status == 200

    def both() -> bool:
        addresses = running.status()["gateways"][0]["addresses"]
        return f"http://127.0.0.1:{port}" in addresses

    running.until(both, "the second listener")
    assert problems(running.settled()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 KiB for the state folder alone."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("CI has to run this as root: it mounts a tmpfs")
        pytest.skip("mounting a tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        if os.environ.get("CI"):
            pytest.fail(f"CI has to allow this mount: {done.stderr}")
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until the disk is full."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)
    return path


def test_a_full_disk_under_the_state_folder_ends_the_start_with_its_path(
    home: Path, small_disk: Path
) -> None:
    state = small_disk / "state"
    filler = fill(small_disk)
    with fluxgate_run(home, state=state) as process:
        assert process.process.wait(60) == 2
    assert str(state) in process.stderr
    assert "No space left on device" in process.stderr
    filler.unlink()
    with fluxgate_run(home, state=state) as process:
        assert process.get("/echo").status == 200


def test_a_disk_that_fills_up_while_it_runs_stops_nothing_not_even_a_restart_of_envoy(
    home: Path, small_disk: Path, echo: EchoUpstream
) -> None:
    with fluxgate_run(home, state=small_disk / "state") as running:
        filler = fill(small_disk)
        running.write("new.yaml", route("new", "/new", echo.port))
        status = running.settled()
        assert status["served"]
        os.kill(status["gateways"][0]["envoy_pid"], signal.SIGKILL)

        assert "No space left on device" in running.said("starting envoy with the last bootstrap")
        running.until(
            lambda: (
                running.settled()["served"] and running.status()["gateways"][0]["envoy_restarts"]
            ),
            "the restarted Envoy",
        )
        (problem,) = problems(running.status())
        assert "envoy-bootstrap.json" in problem
        assert "No space left on device" in problem
        assert running.get("/new").status == 200
        assert running.get("/echo").status == 200

        filler.unlink()
        os.kill(running.status()["gateways"][0]["envoy_pid"], signal.SIGKILL)
        running.until(lambda: not problems(running.settled()), "the end of the problem")
        assert running.get("/new").status == 200
