"""The real ``fluxgate run`` with the admin API, and the command line as its client, each a process of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from support.commandline import Ran
from support.fluxgate_run import COMMAND, FluxgateRun, environment, fluxgate_run
from support.standalone import GATEWAY

SECONDS = 120.0


@dataclass(slots=True)
class AdminCli:
    """A gateway with the admin API, and ``fluxgate`` in an environment of its own that knows the API."""

    run: FluxgateRun
    home: Path
    server: str
    key: str
    secret: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The folder that is served."""
        return self.run.home / "config"

    def fluxgate(self, *arguments: object, stdin: str = "", **variables: str) -> Ran:
        """Run the command line; it knows the server, the key and its secret by the context ``test``."""
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            env=self.environ(variables),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def environ(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Nothing of this machine's contexts."""
        home = {"XDG_CONFIG_HOME": str(self.home), "HOME": str(self.home)}
        return {**environment(), **home, **self.variables, **variables}


@contextlib.contextmanager
def admin_cli(folder: Path, files: Mapping[str, str], **limits: str) -> Iterator[AdminCli]:
    """Serve ``files``; ``limits`` are variables of the admin API without ``FLUXGATE_ADMIN_``."""
    config, state, home = folder / "config", folder / "state", folder / "home"
    for each in (config, state, home):
        each.mkdir()
    for name, text in {"gateway.yaml": GATEWAY, **files}.items():
        path = config / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    master = folder / "master-key"
    master.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    made = subprocess.run(
        [
            *(*COMMAND, "admin", "bootstrap", "-o", "json", "--state-dir", str(state)),
            *("--master-key-file", str(master)),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    key = json.loads(made.stdout)
    given = {f"FLUXGATE_ADMIN_{name}": text for name, text in limits.items()}
    options = ("--http-port", "0", "--admin-port", "0", "--admin-master-key-file", str(master))
    with fluxgate_run(folder, *options, state=state, variables=given) as run:
        line = run.until((folder / "stdout").read_text, "the ready line")
        server = line.split("admin=")[1].split()[0]
        cli = AdminCli(run, home, server, key["key"], key["signing_secret"])
        (home / "key").write_text(f"{cli.key}\n")
        (home / "secret").write_text(f"{cli.secret}\n")
        done = cli.fluxgate(
            *("context", "set", "test", "--server", server),
            *("--key-file", home / "key", "--secret-file", home / "secret"),
        )
        assert done.code == 0, done.err
        yield cli
