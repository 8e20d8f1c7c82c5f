"""Console blocks of a Markdown page: commands and the answers printed below them.

:func:`run_example` runs one in a shell as its reader would; :func:`shape` takes out of a line
what differs from run to run, so that printed and real answers compare.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support.curl import curl_folder

CHECKED = "checked"
_SECTION = "<!-- {} -->(.*?)<!-- /checked -->"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Example:
    """One command as printed, and the lines printed below it."""

    command: str
    answer: tuple[str, ...]


def checked_examples(markdown: str, mark: str = CHECKED) -> Iterator[Example]:
    """Every ``$ command`` with its answer between ``<!-- checked -->`` and ``<!-- /checked -->``.

    Another ``mark`` in the place of the first ``checked`` tells sections for other tests apart.
    """
    for section in re.findall(_SECTION.format(re.escape(mark)), markdown, re.DOTALL):
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


def run_example(command: str, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """The lines a command prints in a shell in ``folder``, with ``fluxgate`` and ``curl`` on ``PATH``."""
    with tempfile.TemporaryDirectory() as place:
        path = (str(Path(sys.executable).parent), curl_folder(Path(place)), os.environ["PATH"])
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", **environment, "PATH": ":".join(path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=180,
            check=False,
        )
    return done.stdout.splitlines()


_DIFFERS = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"fl[xc]_[a-z]+_[0-9A-Za-z]{20,}"), "<key>"),
    (re.compile(r"(flx_[a-z]+_…)\w{4}"), r"\1<last four>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<time>"),
    (re.compile(r"127\.0\.0\.1:\d+"), "<address>"),
    (re.compile(r"(?i)^date: .*"), "date: <date>"),
    (re.compile(r"(?i)^(content-length|x-envoy-upstream-service-time): \d+"), r"\1: <number>"),
    (
        re.compile(r"(?i)^(retry-after|x-ratelimit-reset|x-ratelimit-remaining): \d+"),
        r"\1: <number>",
    ),
    (re.compile(r"\d+\.\d+ s\b"), "<seconds>"),
    (re.compile(r"\bpid \d+"), "pid <pid>"),
    (re.compile(r"  [0-9a-f]{12}(?=  |$)"), "  <version>"),
    (re.compile(r"/[0-9a-f]{8}$"), "/<settings>"),
    (re.compile(r"known here: .*"), "known here: <fields>"),
    (re.compile(r'("(?:user-agent|x-forwarded-for|x-envoy-[a-z-]+)": )"[^"]*"'), r'\1"<text>"'),
    (re.compile(r" {2,}"), "  "),
)


def shape(line: str) -> str:
    """A line without what differs from run to run."""
    for pattern, name in _DIFFERS:
        line = pattern.sub(name, line)
    return line.strip()
