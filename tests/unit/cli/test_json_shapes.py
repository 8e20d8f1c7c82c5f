"""The JSON that programs read is the JSON that docs/cli.md promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from fluxgate_cli.checking import Finding, Verification
from fluxgate_cli.commands.api_keys import KeyView
from fluxgate_cli.control.models import (
    CandidateView,
    ExplainReply,
    GatewayView,
    NodeView,
    ObjectView,
    PoolView,
    ProblemView,
    StatusView,
    TargetView,
    UpstreamsView,
)

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## JSON")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ("`status`", StatusView),
        ("… `.gateways[]`", GatewayView),
        ("… `.nodes[]`", NodeView),
        ("… `.objects[]`", ObjectView),
        ("… `.problems[]`", ProblemView),
        ("`upstreams`", UpstreamsView),
        ("… `.pools[]`", PoolView),
        ("… `.pools[].targets[]`", TargetView),
        ("`explain`", ExplainReply),
        ("… `.tried[]`", CandidateView),
        ("`validate`", Verification),
        ("… `.findings[]`", Finding),
        ("`api-keys list` `[]`", KeyView),
    ],
)
def test_every_field_is_documented_in_order(row: str, model: type[BaseModel]) -> None:
    line = next(line for line in SECTION.splitlines() if line.startswith(f"| {row} |"))
    without_details = re.sub(r"\([^)]*\)", "", line.removeprefix(f"| {row} |"))
    assert re.findall(r"`(\w+)`", without_details) == list(model.model_fields)
