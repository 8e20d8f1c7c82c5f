"""Starts the quick start: an echo upstream, the gateway in front of it, and a demo key.

``make run`` runs this. The example's files are copied to ``.fluxgate/quickstart/config`` at
the first start, so edits there are yours and the example stays as it is; a demo key is
made beside them, and a key of the admin API, which takes writes without a signature here, because
nothing listens but on loopback. When everything is served, one line goes to standard output; everything
else, the access log included, goes to standard error.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from structlog.typing import FilteringBoundLogger

from fluxgate.errors import FluxGateError
from fluxgate_admin.errors import ConflictError
from fluxgate_admin.settings import AdminSettings
from fluxgate_cli.admin import store
from fluxgate_cli.admin.beside import DATABASE_FILE, AdminBeside
from fluxgate_cli.admin.options import Given
from fluxgate_cli.errors import CliError
from fluxgate_cli.failures import as_cli_error
from fluxgate_cli.files import write_atomically
from fluxgate_cli.logs import LogFormat, LogLevel, make_logger
from fluxgate_cli.output import print_error
from fluxgate_cli.serving import serve
from fluxgate_operator.settings import EnvoySettings, StandaloneSettings

HERE = Path(__file__).parent
ECHO_START_SECONDS = 20.0
ADMIN_PORT = 8090


@dataclass(frozen=True, slots=True)
class Quickstart:
    """Where the quick start keeps its things."""

    home: Path

    @property
    def config(self) -> Path:
        """The folder that is served."""
        return self.home / "config"

    @property
    def state(self) -> Path:
        """The state folder of ``fluxgate run``."""
        return self.home / "state"

    @property
    def key_file(self) -> Path:
        """The demo key in clear text, for its owner only."""
        return self.home / "demo-key"

    def prepare(self) -> None:
        """Copy the example's files, once."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.state.mkdir(mode=0o700, exist_ok=True)
        if self.config.is_dir():
            say(f"serving {self.config}: edit the files there")
            return
        draft = self.home / "config.new"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for file in sorted(HERE.glob("*.yaml")):
            shutil.copyfile(file, draft / file.name)
        draft.rename(self.config)
        say(
            f"copied the example to {self.config}: edit the files there, the example stays as it is"
        )

    def demo_key(self) -> str:
        """The demo key; made at the first start and after either of its two files is gone."""
        manifest = self.config / "api-keys" / "demo.yaml"
        if self.key_file.is_file() and manifest.is_file():
            return self.key_file.read_text().strip()
        manifest.unlink(missing_ok=True)
        made = subprocess.run(
            [
                *(sys.executable, "-m", "fluxgate_cli.main", "api-keys", "create"),
                *("--name", "demo", "--prefix", "flx_test_", "--plan", "demo"),
                *("--workspace", "demo", "--scope", "echo:read", "--config", str(self.config)),
            ],
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise CliError(f"the demo key could not be made: {made.stderr.strip()}")
        key = made.stdout.strip()
        say(f"made a demo key; {manifest} holds its hash, {self.key_file} the key")
        write_atomically(self.key_file, key + "\n", mode=0o600)
        return key

    @property
    def master_key_file(self) -> Path:
        """What seals the secrets of the admin API."""
        return self.home / "admin-master-key"

    @property
    def admin_key_file(self) -> Path:
        """The key of the admin API in clear text, for its owner only, and its signing secret below."""
        return self.home / "admin-key"

    def admin(self, port: int) -> AdminBeside:
        """The admin API beside the gateway."""
        if not self.master_key_file.is_file():
            made = base64.b64encode(secrets.token_bytes(32)).decode()
            write_atomically(self.master_key_file, made + "\n", mode=0o600)
        return AdminBeside(
            "127.0.0.1",
            port,
            Given(master_key_file=self.master_key_file, unsigned_writes=True),
            config=self.config,
            state=self.state,
            environ={**os.environ, "FLUXGATE_ADMIN_KEY_PREFIX": "sk_test_"},
        )

    async def admin_key(self, settings: AdminSettings, log: FilteringBoundLogger) -> str:
        """The key of the admin API; made at the first start."""
        if self.admin_key_file.is_file():
            return self.admin_key_file.read_text().split()[0]
        await store.upgrade(settings.database, log)
        try:
            made = await store.first_key(settings, log, name="quickstart")
        except ConflictError:
            file = self.state / DATABASE_FILE
            raise CliError(f"{self.admin_key_file} is gone; delete {file} to begin anew") from None
        key, secret = made.text.reveal().decode(), made.signing_secret.reveal().decode()
        write_atomically(self.admin_key_file, f"{key}\n{secret}\n", mode=0o600)
        say(f"made a key of the admin API; {self.admin_key_file} holds it, and its signing secret")
        return key

    def echo_port(self, port: int | None = None) -> int:
        """The port ``upstream.yaml`` names for the echo; with ``port`` it names that one instead."""
        file = self.config / "upstream.yaml"
        text = file.read_text() if file.is_file() else ""
        found = re.search(r"^(\s*(?:- )?port:\s*)(\d+)", text, re.MULTILINE)
        if found is None:
            return port or 0
        if port is not None and port != int(found[2]):
            write_atomically(file, text[: found.start(2)] + str(port) + text[found.end(2) :])
            say(f"port {found[2]} is taken; {file} now names the echo's port {port}")
            return port
        return int(found[2])


def say(text: str) -> None:
    """A message for people."""
    print(text, file=sys.stderr, flush=True)


@contextlib.asynccontextmanager
async def echo(quickstart: Quickstart) -> AsyncIterator[None]:
    """The echo upstream as a process of its own; it ends with us, however we end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "echo.py"),
        *("--port", str(quickstart.echo_port()), "--until-eof"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches us first, so that open requests still get answers
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(ECHO_START_SECONDS):
            line = (await process.stdout.readline()).decode()
        if not line.startswith("listening: "):
            raise CliError(f"the echo upstream did not start: {line.strip() or 'see above'}")
        quickstart.echo_port(int(line.rpartition(":")[2]))
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def main(quickstart: Quickstart, http_port: int | None, admin_port: int, out: TextIO) -> None:
    """Run until a signal."""
    key = quickstart.demo_key()
    log = make_logger(LogFormat.CONSOLE, LogLevel.WARNING, colours=sys.stderr.isatty())
    admin = quickstart.admin(admin_port)
    admin_key = await quickstart.admin_key(admin.settings(""), log)

    def announce(addresses: tuple[str, ...], url: str) -> None:
        told = {"gateway": addresses[0], "demo-key": key, "admin": url, "admin-key": admin_key}
        line = " ".join(f"{name}={value}" for name, value in told.items())
        print(f"ready: {line}", file=out, flush=True)

    settings = StandaloneSettings(
        config_dir=quickstart.config,
        state_dir=quickstart.state,
        http_port=http_port,
        envoy=EnvoySettings(concurrency=2, drain_seconds=5.0),
    )
    async with echo(quickstart):
        await serve(settings, log, announce, admin=admin)


def port_of(variable: str) -> int | None:
    """The port that a variable names; None when it does not."""
    text = os.environ.get(variable, "")
    if text and not (text.isascii() and text.isdigit() and int(text) < 65536):
        sys.exit(f"{variable} is {text!r}; give a port, or 0 for a free one")
    return int(text) if text else None


def stdout_for_one_line() -> TextIO:
    """The real standard output; what would go there from now on (the access log) goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return out


if __name__ == "__main__":
    chosen = port_of("FLUXGATE_HTTP_PORT")
    chosen_admin = port_of("FLUXGATE_ADMIN_LISTEN_PORT")
    if chosen_admin is None:
        chosen_admin = 0 if chosen == 0 else ADMIN_PORT
    place = Quickstart(Path(os.environ.get("FLUXGATE_QUICKSTART_DIR", ".fluxgate/quickstart")))
    try:
        place.prepare()
        asyncio.run(main(place, chosen, chosen_admin, stdout_for_one_line()))
    except (FluxGateError, OSError) as error:
        failure = as_cli_error(error)
        print_error(failure)
        sys.exit(failure.exit_code)
