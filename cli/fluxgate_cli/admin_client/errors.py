"""Refusals of the admin API, as errors of the command line with their exit codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from fluxgate_cli.errors import (
    CliError,
    InvalidResourcesError,
    NotReadyError,
    NotRunningError,
    RefusedError,
)

SKEW_SECONDS = 60.0


def error_of(response: httpx.Response, skew: float) -> CliError:
    """What a refused request tells the user. ``skew`` is how far this clock is ahead of the server's."""
    body = body_of(response)
    status = response.status_code
    message = str(body.get("message") or response.reason_phrase or f"status {status}")
    request_id = body.get("request_id")
    where = f"{response.request.method} {response.request.url.path}"
    text = f"{where}: {message}".rstrip(".")
    remedy = _remedy(status, body, skew)
    details = "; ".join(filter(None, (*_problems(body), remedy)))
    shown = f"{details} ({request_id})".strip() if request_id else details
    match status:
        case 400 | 413 | 422:
            return InvalidResourcesError(text, shown)
        case 429:
            return NotReadyError(text, shown)
        case _ if status >= 500:
            return (
                NotRunningError(text, shown) if status in (502, 503, 504) else CliError(text, shown)
            )
        case _:
            return RefusedError(text, shown, status=status)


def body_of(response: httpx.Response) -> Mapping[str, Any]:
    """The JSON object of an answer; empty when it is none."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _remedy(status: int, body: Mapping[str, Any], skew: float) -> str:
    if status == 401 and abs(skew) > SKEW_SECONDS:
        ahead = "ahead of" if skew > 0 else "behind"
        return (
            f"this clock is {abs(skew):.0f} s {ahead} the server's, and signatures hold for minutes"
        )
    if body.get("error") == "unauthenticated":
        return (
            "a token ends after an hour; a credential in the environment wins over the context's, "
            "see 'fluxgate context list'"
        )
    if body.get("error") == "address_not_allowed":
        return "the key's allowlist decides from where it may be used"
    return ""


def _problems(body: Mapping[str, Any]) -> list[str]:
    found = body.get("problems")
    if not isinstance(found, list) or len(found) < 2:
        return []
    return [f"{each.get('pointer', '')}: {each.get('message', '')}" for each in found[1:]]
