"""What commands say when the admin API did not try a change to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import httpx
import pytest

from fluxgate.resources import ObjectRef
from fluxgate_cli.admin_client.api import AdminApi
from fluxgate_cli.admin_client.writes import tell
from fluxgate_cli.declared.applying import How, apply_steps
from fluxgate_cli.declared.plan import Action, Step
from fluxgate_cli.errors import CliError
from fluxgate_cli.output import DataFormat

DOUBT = {
    "pointer": "",
    "message": "not everything was tried within 10 s",
    "reason": "OutOfTime",
    "source": "trial",
}


def trial(**changes: Any) -> httpx.Response:
    found = {
        "valid": True,
        "problems": [],
        "warnings": [],
        "diff": {"objects": [], "routes": [], "envoy": []},
        "checked_by_envoy": False,
        "not_tried": None,
        "cached": False,
        "note": None,
    }
    return httpx.Response(200, json=found | changes)


def test_a_write_that_was_not_tried_to_its_end_is_told_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    body = {"id": "rt_1", "sync_status": "propagated_to_all_nodes", "warnings": [DOUBT]}
    tell(httpx.Response(201, json=body), DataFormat.TABLE, "the route a")
    assert "warning: the route a: not everything was tried" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"checked_by_envoy": True}, "as the real Envoy finds; nothing was changed"),
        ({}, "as the models and references find; Envoy was not asked: nothing changes for it"),
        (
            {"not_tried": "NoEnvoy", "note": "there is no Envoy", "warnings": [DOUBT]},
            "as the models and references find; Envoy was not asked: there is no Envoy",
        ),
    ],
)
def test_a_dry_run_says_whether_envoy_was_asked(
    changes: Mapping[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(trial(**changes), DataFormat.TABLE, "the route a")
    assert said in capsys.readouterr().err


def test_a_dry_run_that_refuses_tells_its_warnings_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CliError):
        tell(trial(valid=False, warnings=[DOUBT]), DataFormat.TABLE, "the route a")
    assert "not everything was tried" in capsys.readouterr().err


class Api:
    """Answers every batch with one warning."""

    def ask(self, method: str, path: str, query: Any, body: Any, **_: Any) -> httpx.Response:
        results = [{"outcome": "created"} for _ in body["objects"]]
        answer = {
            "results": results,
            "sync_status": "propagated_to_all_nodes",
            "checked_by_envoy": False,
            "not_tried": "OutOfTime",
            "note": DOUBT["message"],
            "warnings": [DOUBT],
        }
        return httpx.Response(200, json=answer)


def test_many_writes_are_told_of_once() -> None:
    steps = [
        Step(ObjectRef("Backend", "default", f"b{number}"), Action.CREATE, None, {"spec": {}})
        for number in range(600)
    ]
    applied = apply_steps(cast("AdminApi", Api()), steps, How(), lambda _: None)
    assert applied.warnings == ("not everything was tried within 10 s",)
    assert (applied.checked_by_envoy, applied.note) == (False, DOUBT["message"])
