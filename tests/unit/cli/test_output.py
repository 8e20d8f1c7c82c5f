"""Tables on a narrow terminal: what is copied stays whole, and sentences are folded."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from rich.text import Text

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


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "[bold]x[/bold] y", Text("yes", "green")), ("b", "", "")],
        [("/日本語/*", r"\[x]", "[1]"), ("e\u0301" * 3, "rung\b", Text("b\bell"))],
        [("first\nsecond", "two lines", "x"), ("a\tb", WHY, "y")],
        [],
    ],
    ids=["marked up", "wide and strange", "several lines and steps", "nothing"],
)
def test_a_program_is_given_the_words_and_columns_that_people_see(
    rows: list[tuple[str | Text, ...]],
    lines: Callable[..., list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = ("NAME", "SAID", "WHETHER")
    print_table(columns, rows)
    assert capsys.readouterr().out.splitlines() == lines(columns, *rows, wide=1_000)


def test_commands_that_ask_others_do_not_load_what_translates_folders() -> None:
    """It takes longer than all the rest of a command's start."""
    code = "import sys, fluxgate_cli.main; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"fluxgate.translator", "fluxgate.xds.build"} & set(loaded.stdout.split())
