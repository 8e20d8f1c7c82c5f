"""Brings a change of a text into an older spelling of the same text, line by line.

A YAML writer changes more than it was asked to: blanks, indentation, folding. ``base`` is what it makes of the
text without any change, ``edited`` with it. What differs between the two is the change; what differs between
``original`` and ``base`` is the writer's taste, and is left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Hunk:
    """Lines ``low`` to ``high`` of base became lines ``start`` to ``end`` of edited."""

    low: int
    high: int
    start: int
    end: int


def carry_over(original: str, base: str, edited: str) -> str:
    """``original`` with the change from ``base`` to ``edited``. Comments around the change stay."""
    old, ours, new = (text.splitlines(keepends=True) for text in (original, base, edited))
    begins, ends = _places(ours, old)
    result: list[str] = []
    done = 0
    for hunk in _widened(_hunks(ours, new), begins, ends):
        if hunk.low == hunk.high:  # an insertion goes right below the line it follows
            low = high = ends.get(hunk.low, begins.get(hunk.low, len(old)))
        else:
            low = begins.get(hunk.low, ends.get(hunk.low, 0))
            high = ends.get(hunk.high, begins.get(hunk.high, len(old)))
        low, high = max(low, done), max(high, done)
        result += old[done:low]
        come = new[hunk.start : hunk.end]
        shift = _shift(come, hunk, ours, old, begins)
        _replace(result, old[low:high], [_shifted(line, shift) for line in come])
        done = high
    return "".join(result + old[done:])


def _places(ours: list[str], old: list[str]) -> tuple[dict[int, int], dict[int, int]]:
    """Where in ``old`` the line at, and the line before, a boundary of ``ours`` stands, if it does."""
    begins, ends = {len(ours): len(old)}, {0: 0}
    for tag, low, high, at, _ in _opcodes(_squeezed(ours), _squeezed(old)):
        if tag == "equal":
            for count in range(high - low):
                begins[low + count] = at + count
                ends[low + count + 1] = at + count + 1
    return begins, ends


def _hunks(ours: list[str], new: list[str]) -> list[_Hunk]:
    return [_Hunk(*place) for tag, *place in _opcodes(ours, new) if tag != "equal"]


def _widened(hunks: list[_Hunk], begins: dict[int, int], ends: dict[int, int]) -> list[_Hunk]:
    """Hunks whose edges stand in the original, too; those that meet thereby are one."""
    result: list[_Hunk] = []
    for each in hunks:
        hunk = _wide(each, begins, ends)
        while result and result[-1].high > hunk.low:
            before = result.pop()
            hunk = _wide(
                _Hunk(
                    min(before.low, hunk.low),
                    max(before.high, hunk.high),
                    min(before.start, hunk.start),
                    max(before.end, hunk.end),
                ),
                begins,
                ends,
            )
        result.append(hunk)
    return result


def _wide(hunk: _Hunk, begins: dict[int, int], ends: dict[int, int]) -> _Hunk:
    low, high = hunk.low, hunk.high
    while low not in begins and low not in ends:
        low -= 1
    while high not in begins and high not in ends:
        high += 1
    return _Hunk(low, high, hunk.start - (hunk.low - low), hunk.end + (high - hunk.high))


def _shift(
    come: list[str], hunk: _Hunk, ours: list[str], old: list[str], begins: dict[int, int]
) -> int:
    """By how much the original is indented deeper than the writer would, among the hunk's siblings."""
    if not come:
        return 0
    inner = _indentation(come[0])
    for way in (range(hunk.low - 1, -1, -1), range(hunk.low, len(ours))):
        for at in way:
            line = ours[at]
            if not line.strip() or _is_comment(line):
                continue
            columns = _columns(line)
            if inner in columns and at in begins:
                there = _columns(old[begins[at]])
                return there[columns.index(inner)] - inner
            if columns[0] < inner:
                break  # out of the block
    return 0


def _columns(line: str) -> list[int]:
    """Where what a line says begins: its first dash, and what follows that and further ones."""
    found = [_indentation(line)]
    while (rest := line[found[-1] :]).startswith("- "):
        found.append(found[-1] + len(rest) - len(rest[1:].lstrip(" ")))
    return found


def _shifted(line: str, by: int) -> str:
    if by >= 0:
        return " " * by + line if line.strip() else line
    return line[min(-by, _indentation(line)) :]


def _squeezed(lines: list[str]) -> list[str]:
    """Lines without their blanks: what a writer changes most."""
    return ["".join(line.split()) for line in lines]


def _replace(result: list[str], gone: list[str], come: list[str]) -> None:
    """Put lines in place of others, and keep the comments that were not about those."""
    before, after = _comments_around(gone, come)
    if not gone and come:
        # what is added to a block comes above the blanks and comments that lead to the next one
        inner = _indentation(come[0])
        tail: list[str] = []
        while result and _leads_on(result[-1], inner):
            tail.insert(0, result.pop())
        _end_line(result)
        result += come
        result += tail
        return
    for lines in (before, come, after):
        if lines:
            _end_line(result)
        result += lines


def _leads_on(line: str, inner: int) -> bool:
    return not line.strip() or (_is_comment(line) and _indentation(line) <= inner)


def _comments_around(gone: list[str], come: list[str]) -> tuple[list[str], list[str]]:
    """Comments above and below what goes, and those in it that are not deeper than it is."""
    content = [at for at, line in enumerate(gone) if line.strip() and not _is_comment(line)]
    if not content:
        return _missing(gone, come), []
    limit = _indentation(gone[content[0]])
    last = content[-1] + 1
    inner = gone[content[0] : last]
    after = [x for x in inner if _is_comment(x) and _indentation(x) <= limit]
    after += [x for x in gone[last:] if not x.strip() or _indentation(x) <= limit]
    before = gone[: content[0]]
    return _missing(before, come), _missing(after, come)


def _missing(lines: list[str], among: list[str]) -> list[str]:
    return [line for line in lines if line not in among]


def _end_line(lines: list[str]) -> None:
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _opcodes(one: list[str], other: list[str]) -> Sequence[tuple[str, int, int, int, int]]:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
