"""Exceptions of every layer as something to tell the user, with its exit code."""

from __future__ import annotations

from fluxgate.errors import FluxGateError, ResourceError
from fluxgate_cli.errors import (
    CliError,
    EnvoyMissingError,
    InvalidResourcesError,
    UsageError,
)
from fluxgate_operator.errors import EnvoyNotFoundError, PortTakenError, StateDirError


def as_cli_error(error: Exception) -> CliError:
    """``error`` as something to tell the user, with its exit code."""
    match error:
        case CliError():
            return error
        case EnvoyNotFoundError():
            return EnvoyMissingError(str(error))
        case PortTakenError() | StateDirError():
            return UsageError(str(error))
        case ResourceError():
            return InvalidResourcesError(str(error))
        case FluxGateError():
            return CliError(str(error))
        case OSError():
            return CliError(str(error))
        case _:
            name = type(error).__name__
            return CliError(
                f"internal error: {name}: {error}",
                "This is a bug. Run 'fluxgate --debug …' for the details.",
            )
