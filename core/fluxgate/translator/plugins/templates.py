"""Templates: texts in which ``${…}`` stands for a value of the request or of the answer.

The values are put in as they are where they cannot break anything (a header cannot hold a line
end), and encoded where they could: in a query percent-encoded, in JSON as part of a string.
``$${`` stands for ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from fluxgate.api.v1alpha1.patterns import LINE_PATTERN
from fluxgate.ir.policies.transform import Part, Source, Template

_MAX_LENGTH = 2048
_MARK = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")
_PARAMETER = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_NAMED = {
    Source.REQUEST_HEADER: _HEADER,
    Source.REQUEST_QUERY: _PARAMETER,
    Source.RESPONSE_HEADER: _HEADER,
}

OF_REQUEST = frozenset(
    each for each in Source if each not in (Source.RESPONSE_HEADER, Source.RESPONSE_STATUS)
)
OF_RESPONSE = frozenset(each for each in Source if each is not Source.REQUEST_QUERY)
"""Not the query: Envoy decodes it, line ends and all, and does not check headers of answers."""


_SHARED = (
    "`${request.headers.NAME}`, `${request.method}`, `${request.path}` (without its query), "
    "`${request.host}`, `${request.scheme}`, `${request.id}`, `${client.ip}`"
)
_ABSENT = "What is absent is empty; `$${` stands for `${`."
REQUEST_VALUES = f"Values may hold `${{request.query.NAME}}`, {_SHARED}. {_ABSENT}"
RESPONSE_VALUES = (
    f"Values may hold `${{response.status}}`, `${{response.headers.NAME}}`, {_SHARED}. {_ABSENT}"
)
"""For people: what stands in :data:`OF_REQUEST` and :data:`OF_RESPONSE`."""


def parse_template(text: str, known: frozenset[Source]) -> Template:
    """The parts of ``text``. Raises ``ValueError`` for a ``${…}`` that is not in ``known``."""
    parts: list[Part] = []
    literal, end = "", 0
    for mark in _MARK.finditer(text):
        literal += text[end : mark.start()]
        end = mark.end()
        if mark[1] is None:
            literal += "${"
            continue
        if not mark[0].endswith("}"):
            raise ValueError(f"{mark[0]!r} has no closing }}; write $${{ for a literal ${{")
        if literal:
            parts.append(Part(Source.TEXT, literal))
        parts.append(_value(mark[1], known))
        literal = ""
    literal += text[end:]
    return (*parts, Part(Source.TEXT, literal)) if literal else tuple(parts)


def _value(name: str, known: frozenset[Source]) -> Part:
    for source in known - {Source.TEXT}:
        pattern = _NAMED.get(source)
        if pattern is None and name == source:
            return Part(source)
        start = f"{source}."
        if pattern and name.startswith(start) and pattern.fullmatch(name.removeprefix(start)):
            rest = name.removeprefix(start)
            return Part(source, rest if source is Source.REQUEST_QUERY else rest.lower())
    listed = ", ".join(
        sorted(f"{each}.<name>" if each in _NAMED else each for each in known - {Source.TEXT})
    )
    raise ValueError(f"${{{name}}} is not a value known here; known: {listed}")


def _checked(known: frozenset[Source]) -> Callable[[str], str]:
    def check(text: str) -> str:
        parse_template(text, known)
        return text

    return check


_TEXT = StringConstraints(pattern=LINE_PATTERN, max_length=_MAX_LENGTH)
RequestTemplate = Annotated[str, _TEXT, AfterValidator(_checked(OF_REQUEST))]
"""Text with ``${request.…}`` and ``${client.ip}`` in it."""
ResponseTemplate = Annotated[str, _TEXT, AfterValidator(_checked(OF_RESPONSE))]
"""Text with values of the answer, and those of the request but for its query."""
