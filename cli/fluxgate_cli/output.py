"""Where words go: data to standard output, messages to standard error.

Rich colours only a terminal and respects ``NO_COLOR``; tables keep their columns
whole when they are piped into another program.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum

import yaml
from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.table import Table
from rich.text import Text

from fluxgate_cli.errors import CliError

PIPE_WIDTH = 100_000
"""Columns of a stream that is no terminal: nothing is ever folded for a program."""
_PROSE_WIDTH = 40
"""What is shorter is never folded, and sentences get as much at least."""
_GAP = 2
"""Columns between two columns of a table."""


class OutputFormat(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


class DataFormat(StrEnum):
    """How commands of the admin API print data."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def console(*, stderr: bool = False) -> Console:
    """A console for one of the two streams as it is now."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False)


def print_data(text: str) -> None:
    """Write ``text`` and a line end to standard output, untouched by markup."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def print_json(value: BaseModel | object) -> None:
    """Print a model, or plain data, as indented JSON."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    print_data(json.dumps(plain, indent=2, ensure_ascii=False))


def print_yaml(value: object) -> None:
    """Print plain data as YAML, in the order it has."""
    print_data(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120))


def print_as(
    output: DataFormat,
    value: object,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
) -> None:
    """Print ``value`` for a program, or ``rows`` of it for people."""
    match output:
        case DataFormat.JSON:
            print_json(value)
        case DataFormat.YAML:
            print_yaml(value)
        case DataFormat.TABLE:
            print_table(columns, rows)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print a table without borders.

    On a terminal that is too narrow sentences are folded, and nothing else: a name or an id in two pieces
    can be copied by nobody. Lines may get longer than the terminal then.
    """
    listed = [tuple(row) for row in rows]
    out = console()
    if not out.is_terminal and (lines := _plain_lines(columns, listed)) is not None:
        print_data("\n".join(lines))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    least = 0
    for index, name in enumerate(columns):
        cells = [str(row[index]) for row in listed]
        natural = max(map(cell_len, (name, *cells)))
        whole = natural <= _PROSE_WIDTH or not any(" " in cell for cell in cells)
        table.add_column(name, overflow="fold", no_wrap=whole)
        least += (natural if whole else _PROSE_WIDTH) + _GAP
    for row in listed:
        table.add_row(*row)
    if out.is_terminal:
        out.size = ConsoleDimensions(max(out.width, least), out.height)
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    print_data("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _plain_lines(columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> list[str] | None:
    """A table for a program: as rich would print it, in a hundredth of the time it takes for ten thousand rows.

    None for what takes more than one line, or has steps of its own.
    """
    cells = [tuple(columns), *(tuple(map(_plain, row)) for row in rows)]
    if any("\n" in cell or "\t" in cell for row in cells for cell in row):
        return None
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    gap = " " * _GAP
    return [
        gap.join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def _plain(cell: str | Text) -> str:
    return (cell if isinstance(cell, Text) else Text.from_markup(cell)).plain


def say(text: str) -> None:
    """A message for people, on standard error."""
    console(stderr=True).print(Text(text))


def print_error(error: CliError) -> None:
    """An error and its remedy, on standard error."""
    line = Text.assemble(("error: ", "bold red"), error.message)
    if error.remedy:
        line.append(f"\n  {error.remedy}", style="dim")
    console(stderr=True).print(line)


def truth(value: bool | None, text: str = "") -> Text:
    """``value`` as a coloured word; None is unknown."""
    words = {True: ("yes", "green"), False: ("no", "red"), None: ("?", "yellow")}
    word, style = words[value]
    return Text(text or word, style=style)
