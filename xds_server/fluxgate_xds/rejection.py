"""Which resources of a rejected response a client's words name."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = r"[\w./*-]"


def culprits_in(message: str, names: Iterable[str]) -> frozenset[str]:
    """Those of ``names`` that stand in ``message`` as whole words; empty when it names none.

    Envoy writes ``Error adding/updating cluster(s) <name>: <reason>, <name>: <reason>``, and
    for listeners alike; other types are often rejected without any name.
    """
    return frozenset(
        name
        for name in names
        if name in message
        and re.search(rf"(?<!{_WORD}){re.escape(name)}(?:[:,;'\")\s]|$)", message)
    )
