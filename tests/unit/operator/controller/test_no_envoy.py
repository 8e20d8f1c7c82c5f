"""Dry runs where no Envoy is found."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
import structlog
from envoy.config.bootstrap.v3 import bootstrap_pb2 as bootstrap_v3
from structlog.testing import capture_logs

from fluxgate_operator.controller import no_envoy
from fluxgate_operator.controller.no_envoy import NoValidator, validator_for
from fluxgate_operator.envoy.validate import EnvoyValidator, Verdict
from fluxgate_operator.errors import EnvoyNotFoundError
from fluxgate_operator.settings import ControllerSettings

SETTINGS = ControllerSettings("gateway-system", "replica-0")
LOG = structlog.get_logger()


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Envoy."""

    def locate(*_: object) -> None:
        raise EnvoyNotFoundError("there is no envoy")

    monkeypatch.setattr(no_envoy, "locate_envoy", locate)


def test_the_envoy_that_is_found_is_asked():
    assert isinstance(validator_for(SETTINGS, {}, LOG), EnvoyValidator)


def test_without_envoy_nothing_is_known_and_the_log_says_so_once(nowhere):
    with capture_logs() as logs:
        validator = validator_for(SETTINGS, {}, LOG)
    assert isinstance(validator, NoValidator)
    (line,) = logs
    assert (line["log_level"], line["reason"]) == ("warning", "there is no envoy")
    answer = asyncio.run(validator.validate(bootstrap_v3.Bootstrap()))
    assert answer.verdict is Verdict.UNKNOWN


def test_an_envoy_that_was_named_and_is_not_there_is_an_error(nowhere, tmp_path):
    with pytest.raises(EnvoyNotFoundError):
        validator_for(SETTINGS, {"FLUXGATE_ENVOY": "/no/envoy"}, LOG)
    named = dataclasses.replace(SETTINGS, envoy_path=tmp_path / "envoy")
    with pytest.raises(EnvoyNotFoundError):
        validator_for(named, {}, LOG)
