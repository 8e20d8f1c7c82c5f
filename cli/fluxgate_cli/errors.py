"""What can go wrong on the command line, and the exit code that says so."""

from __future__ import annotations

from enum import IntEnum

from fluxgate.errors import FluxGateError


class ExitCode(IntEnum):
    """Exit codes of ``fluxgate``; part of its interface, documented in docs/cli.md."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    INVALID = 3
    NOT_READY = 4
    NOT_RUNNING = 5
    NO_ENVOY = 6
    REFUSED = 7
    INTERRUPTED = 130


EPILOG = (
    "Exit codes: 0 ok, 1 internal error, 2 wrong usage, 3 invalid resources, 4 not ready in time, "
    "5 no running instance or API, 6 Envoy not found, 7 refused by the API, 130 interrupted."
)


class CliError(FluxGateError):
    """A failure to tell the user about: what is wrong, and what to do about it.

    Raise the subclass with the right exit code; ``main`` prints it without a traceback.
    """

    exit_code: ExitCode = ExitCode.INTERNAL

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}. {remedy}" if remedy else message)


class UsageError(CliError):
    """An argument or an environment variable cannot be used as given."""

    exit_code = ExitCode.USAGE


class InvalidResourcesError(CliError):
    """The folder holds something that cannot be served."""

    exit_code = ExitCode.INVALID


class NotReadyError(CliError):
    """What was waited for did not happen in time."""

    exit_code = ExitCode.NOT_READY


class NotRunningError(CliError):
    """No ``fluxgate run`` answers in the state folder."""

    exit_code = ExitCode.NOT_RUNNING


class EnvoyMissingError(CliError):
    """There is no Envoy binary."""

    exit_code = ExitCode.NO_ENVOY


class RefusedError(CliError):
    """The admin API refuses: no credential or right, no such object, or another version of it.

    ``status`` is that of its answer.
    """

    exit_code = ExitCode.REFUSED

    def __init__(self, message: str, remedy: str = "", *, status: int) -> None:
        self.status = status
        super().__init__(message, remedy)


class CutShortError(CliError):
    """A second signal came while open requests could still end."""

    exit_code = ExitCode.INTERRUPTED
