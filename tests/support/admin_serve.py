"""The real ``fluxgate admin serve`` as a process, and calls of it signed by hand."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from fluxgate.secret import SecretBytes
from fluxgate_admin.auth.signature import SignedContent, sign
from support.fluxgate_run import COMMAND, environment
from support.processes import in_background

READY_SECONDS = 60.0
T = TypeVar("T")


@dataclass(slots=True)
class AdminServe:
    """One process, and the first key of its database."""

    process: subprocess.Popen[bytes]
    folder: Path
    key: str
    secret: str
    trust: ssl.SSLContext | bool = True
    """What its certificate is checked by, where it has one."""

    @property
    def stderr(self) -> str:
        """Its log so far."""
        return (self.folder / "stderr").read_text(errors="replace")

    @property
    def ready(self) -> dict[str, str]:
        """What the line says that scripts wait for; empty before."""
        words = (self.folder / "stdout").read_text().removeprefix("ready: ").split()
        return dict(each.split("=", 1) for each in words)

    def until(self, condition: Callable[[], T], what: str, seconds: float = READY_SECONDS) -> T:
        """Poll until ``condition`` gives something true, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{what} did not come; the log:\n{self.stderr[-6000:]}")
            time.sleep(0.02)
        return found

    def call(
        self,
        method: str,
        target: str,
        body: object = None,
        more: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """One call by the first key, with ``more`` headers; signed when it writes."""
        path, _, query = target.partition("?")
        payload = b"" if body is None else json.dumps(body).encode()
        headers = {"x-fluxgate-key": self.key, **(more or {})}
        if body is not None:
            headers["content-type"] = "application/json"
        if method != "GET":
            content = SignedContent(method, path, query, payload)
            moment, nonce = int(time.time()), secrets.token_hex(16)
            headers |= sign(SecretBytes(self.secret.encode()), content, moment, nonce).headers()
        url = self.ready["admin"] + target
        return httpx.request(
            method, url, content=payload, headers=headers, timeout=60, verify=self.trust
        )


def bootstrap(environ: dict[str, str]) -> dict[str, str]:
    """The first key, as ``fluxgate admin bootstrap`` prints it."""
    done = subprocess.run(
        [*COMMAND, "admin", "bootstrap", "-o", "json"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def admin_serve(
    kubeconfig: Path,
    namespace: str,
    *options: str,
    database: str = "",
    insecure: bool = True,
    first: dict[str, str] | None = None,
    program: tuple[str, ...] = COMMAND,
    **environ: Any,
) -> Iterator[AdminServe]:
    """Start ``fluxgate admin serve`` over one namespace, on free ports; SIGTERM at the end.

    ``first`` is the key of a database that has one; ``program`` is run in place of ``fluxgate``.
    """
    with tempfile.TemporaryDirectory(prefix="admin-") as scratch:
        folder = Path(scratch)
        master_key = base64.b64encode(secrets.token_bytes(32)).decode()
        variables = {
            **environment(),
            "FLUXGATE_ADMIN_DATABASE": database or f"sqlite+aiosqlite:///{folder / 'admin.db'}",
            "FLUXGATE_ADMIN_MASTER_KEYS": master_key,
            **environ,
        }
        first = first or bootstrap(variables)
        command = [
            *(*program, "admin", "serve", "--kubeconfig", str(kubeconfig)),
            *(("--insecure",) if insecure else ()),
            *("--namespace", namespace, "--watch-namespace", namespace, "--identity", "admin-0"),
            *("--admin-port", "0", "--http-port", "0"),
            *options,
        ]
        with in_background(command, folder, variables) as process:
            running = AdminServe(process, folder, first["key"], first["signing_secret"])
            running.until(lambda: running.ready.get("http"), "ready")
            yield running
