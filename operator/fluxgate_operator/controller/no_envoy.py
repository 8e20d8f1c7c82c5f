"""Where there is no Envoy to ask: rejections are still reported, but nobody is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from structlog.typing import FilteringBoundLogger

from fluxgate_operator.culprits import Validator
from fluxgate_operator.envoy.locate import VARIABLE, locate_envoy
from fluxgate_operator.envoy.validate import EnvoyValidator, Validation, Verdict
from fluxgate_operator.errors import EnvoyNotFoundError
from fluxgate_operator.settings import ControllerSettings


class NoValidator:
    """Knows nothing about any configuration."""

    def __init__(self, reason: str) -> None:
        self._answer = Validation(Verdict.UNKNOWN, reason, absent=True)

    async def validate(self, _: bootstrap_v3.Bootstrap) -> Validation:
        """Unknown, because there is no Envoy."""
        return self._answer


def validator_for(
    settings: ControllerSettings, environ: Mapping[str, str], log: FilteringBoundLogger
) -> Validator:
    """Dry runs by the Envoy that is found, else none, which the log says once.

    Raises :class:`EnvoyNotFoundError` when the settings or the environment name a binary that is not there.
    """
    try:
        binary: Path = locate_envoy(environ, settings.envoy_path)
    except EnvoyNotFoundError as error:
        if settings.envoy_path is not None or environ.get(VARIABLE):
            raise
        log.warning(
            "no envoy for dry runs: an object that envoy rejects is reported, not set aside",
            reason=str(error),
        )
        return NoValidator(str(error))
    return EnvoyValidator(binary, settings.validate_seconds, settings.validations)


def trial_validator_for(settings: ControllerSettings, environ: Mapping[str, str]) -> Validator:
    """Dry runs that somebody waits for: sooner given up, and no others wait behind them."""
    try:
        binary = locate_envoy(environ, settings.envoy_path)
    except EnvoyNotFoundError as error:
        return NoValidator(str(error))
    return EnvoyValidator(binary, settings.trial_seconds, settings.validations)
