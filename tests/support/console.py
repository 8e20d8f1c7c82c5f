"""Console blocks of a Markdown page: commands and the answers printed below them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SECTION = re.compile(r"<!-- checked -->(.*?)<!-- /checked -->", re.DOTALL)
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """One command as printed, and the lines printed below it."""

    command: str
    answer: tuple[str, ...]


def checked_examples(markdown: str) -> Iterator[Example]:
    """Every ``$ command`` with its answer between ``<!-- checked -->`` and ``<!-- /checked -->``."""
    for section in _SECTION.findall(markdown):
        for block in _BLOCK.findall(section):
            command = ""
            answer: list[str] = []
            for line in block.splitlines():
                if line.startswith("$ "):
                    if command:
                        yield Example(command, tuple(answer))
                    command, answer = line[2:], []
                elif command.endswith("\\"):
                    command = command[:-1] + line.lstrip()
                else:
                    answer.append(line)
            if command:
                yield Example(command, tuple(answer))
