"""Tables on a narrow terminal: what is copied stays whole, and sentences are folded."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable

import pytest

from fluxgate_cli.output import print_table

WHY = "the file cannot be read because of a colon that is not followed by anything at all"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The lines of a table on a terminal without colours."""

    def of(
        columns: tuple[str, ...], *rows: tuple[str, ...], wide: int = 60, term: str = "xterm"
    ) -> list[str]:
        given = {"COLUMNS": str(wide), "LINES": "25", "NO_COLOR": "1", "TERM": term}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        with monkeypatch.context() as during:
            screen = Terminal()
            during.setattr(sys, "stdout", screen)
            print_table(columns, rows)
        plain = re.sub(
            r"\x1b\[[0-9;]*m", "", screen.getvalue()
        )  # a head is bold without colours, too
        return [each.rstrip() for each in plain.splitlines()]

    return of


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_ids_and_names_stay_whole_where_lines_get_longer_than_the_terminal(
    lines: Callable[..., list[str]], term: str
) -> None:
    name = "a-service-with-a-long-name-" * 3
    row = ("rt_ofcqob7jaa3x6cp6", name, "/日本語/*", "Route default/orders", "2026-11-21T13:51:21Z")
    (_, line) = lines(("ID", "NAME", "PATHS", "OBJECT", "AT"), row, term=term)
    assert line.split("  ") == [*row]


def test_a_sentence_is_folded_beside_what_stays_whole(lines: Callable[..., list[str]]) -> None:
    _, *found = lines(("OBJECT", "WHY"), ("Route default/orders", WHY))
    assert len(found) > 1
    assert found[0].startswith("Route default/orders  the file")
    assert " ".join(line[22:] for line in found) == WHY
    assert max(map(len, found)) <= 64  # forty columns for the sentence


def test_what_a_terminal_is_wide_enough_for_is_not_folded(
    lines: Callable[..., list[str]],
) -> None:
    found = lines(("OBJECT", "WHY"), ("Route default/orders", WHY), wide=200)
    assert found[1] == f"Route default/orders  {WHY}"


def test_a_table_without_rows_is_its_head(lines: Callable[..., list[str]]) -> None:
    assert lines(("ID", "NAME")) == ["ID  NAME"]
