r"""What the listener makes of a path before anything is compared with it.

The connection manager's ``normalize_path``, ``merge_slashes`` and
``path_with_escaped_slashes_action: REJECT_REQUEST``, in that order of effect. The rules
were read off Envoy 1.40 and are compared with the real one in the tests:
``%41`` becomes ``A`` (unreserved characters only), ``\`` becomes ``/``, ``.`` and ``..``
segments (``..;x`` too) are resolved, runs of slashes become one.
"""

from __future__ import annotations

import re

_REJECTED = re.compile(r"%2f|%5c|%00|#|[^\x21-\x7e]", re.IGNORECASE)
_DOT_SEGMENT_PARAMETERS = re.compile(r"(?<=/)(\.{1,2});[^/]*")
_UNRESERVED = re.compile(r"%(2[dD]|2[eE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF]|7[eE])")
_MUST_ESCAPE = re.compile(r'["<>^`{|}]')
_SLASHES = re.compile(r"/{2,}")


def normalise_path(path: str) -> str | None:
    """The path that routes are compared with, or None when the listener answers 400.

    ``path`` is what stands in the request line, without the query.
    """
    if not path.startswith("/") or _REJECTED.search(path):
        return None
    path = _DOT_SEGMENT_PARAMETERS.sub(r"\1", path).replace("\\", "/")
    path = _UNRESERVED.sub(lambda match: chr(int(match[1], 16)), path)
    path = _MUST_ESCAPE.sub(lambda match: f"%{ord(match[0]):02X}", path)
    path = _resolve_dots(path)
    if not path.strip("/"):
        return "/" if path == "/" else "//"
    return _SLASHES.sub("/", path)


def _resolve_dots(path: str) -> str:
    """RFC 3986 section 5.2.4; an empty segment counts as one."""
    kept: list[str] = []
    segments = path[1:].split("/")
    for index, segment in enumerate(segments):
        if segment not in (".", ".."):
            kept.append(segment)
            continue
        if segment == ".." and kept:
            kept.pop()
        if index == len(segments) - 1:
            kept.append("")
    return "/" + "/".join(kept)
