"""Where a secret of the command line comes from: a text, a file, or what a command prints."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from fluxgate_cli.errors import UsageError

COMMAND_SECONDS = 60.0
"""A password manager may ask a person."""


class SecretSource(BaseModel):
    """Exactly one of the three; ``file`` and ``command`` are read at every use."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    value: str | None = None
    file: Path | None = None
    command: str | None = None

    @model_validator(mode="after")
    def _one(self) -> SecretSource:
        if sum(each is not None for each in (self.value, self.file, self.command)) != 1:
            raise ValueError("give exactly one of value, file and command")
        return self

    @property
    def shown(self) -> str:
        """For people: never the secret."""
        if self.file is not None:
            return f"file {self.file}"
        return f"command {self.command}" if self.command is not None else "stored"

    def read(self, what: str) -> str:
        """The secret, without the line end. Raises :class:`UsageError`, which never shows it."""
        if self.value is not None:
            found = self.value
        elif self.file is not None:
            found = _of_file(self.file, what)
        else:
            found = _of_command(self.command or "", what)
        found = found.strip()
        if not found or not found.isascii() or any(each.isspace() for each in found):
            raise UsageError(f"the {what} ({self.shown}) is empty, or not one word of ASCII")
        return found


def _of_file(path: Path, what: str) -> str:
    try:
        return path.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"the {what} cannot be read from {path}: {reason}") from None


def _of_command(command: str, what: str) -> str:
    """Run without a shell; what it says on standard error, or asks, reaches the terminal."""
    try:
        done = subprocess.run(  # noqa: S603 - what the user wrote into the context
            shlex.split(command),
            stdout=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            check=False,
            text=True,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"the command for the {what} did not run: {reason}", command) from None
    if done.returncode != 0:
        raise UsageError(f"the command for the {what} ended with {done.returncode}", command)
    return done.stdout
