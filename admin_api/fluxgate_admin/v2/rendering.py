"""Answers to writes, and the parts that several answers share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from fluxgate.ports import EnvoyChange
from fluxgate.resources import ObjectRef
from fluxgate.status import Condition
from fluxgate_admin.http.answers import json_answer
from fluxgate_admin.http.etags import quoted
from fluxgate_admin.use_cases.documents import etag_of_document
from fluxgate_admin.use_cases.drafts import Outcome, Report
from fluxgate_admin.use_cases.proof import Sync, SyncStatus
from fluxgate_admin.v2.calls import WriteCall

MOST_CHANGES = 1000
"""More resources of Envoy's are counted, and not told."""


def timestamp(text: str) -> str | None:
    """RFC 3339 in UTC to the second, as the document has it; None when nobody knows."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return of_moment(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))


def of_moment(moment: dt.datetime) -> str:
    """RFC 3339 in UTC to the second."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def shown_page(data: Sequence[object], after: str | None) -> dict[str, Any]:
    """A page of a list; ``after`` is the cursor of the next one, None on the last."""
    return {"has_more": after is not None, "data": data, "after": after}


def shown_sync(sync: Sync) -> dict[str, Any]:
    """``sync_status``, and what there is to say about it."""
    shown: dict[str, Any] = {"sync_status": sync.status.value}
    if sync.message:
        shown["sync_message"] = sync.message
    if sync.nodes:
        shown["pending_nodes"] = [
            {"node": each.node, "reason": each.reason, "message": each.message}
            for each in sync.nodes
        ]
    if sync.hidden:
        shown["hidden_nodes"] = sync.hidden
    return shown


def shown_conditions(conditions: tuple[Condition, ...]) -> list[dict[str, Any]]:
    """Conditions as bodies have them."""
    return [
        {
            "type": each.type.value,
            "status": each.status,
            "reason": each.reason.value,
            "message": each.message,
        }
        for each in conditions
    ]


def shown_warnings(report: Report) -> dict[str, Any]:
    """What is worth reading, if anything is."""
    found = [each.as_json() for each in report.warnings]
    return {"warnings": found} if found else {}


def shown_trial(report: Report) -> dict[str, Any]:
    """What a dry run found."""
    difference = report.difference
    return {
        "valid": not report.fatal,
        "problems": [each.as_json() for each in report.fatal],
        "warnings": [each.as_json() for each in report.warnings],
        "diff": {
            "objects": [{"object": str(ref), "diff": diff} for ref, diff in difference.objects],
            "routes": [_change(each) for each in difference.routes[:MOST_CHANGES]],
            "envoy": [_change(each) for each in difference.envoy[:MOST_CHANGES]],
        },
        "checked_by_envoy": report.asked_envoy,
        "not_tried": report.untried.value if report.untried is not None else None,
        "cached": report.cached,
        "note": report.note or None,
    }


def _change(each: EnvoyChange) -> dict[str, str]:
    return {"gateway": each.gateway, "type": each.type, "name": each.name, "change": each.change}


def write_answer(
    call: WriteCall,
    outcome: Outcome,
    body: Mapping[str, Any],
    *,
    done: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a write that was made, or to a dry run of one."""
    call.context.objects.append(str(outcome.ref))
    if outcome.dry_run:
        return json_answer(shown_trial(outcome.report))
    unproven = call.options.wait and outcome.sync.status is not SyncStatus.PROPAGATED
    status = 202 if unproven or outcome.sync.status is SyncStatus.REJECTED else done
    if status == 204 and outcome.report.doubts:
        status = 200  # which has a body to tell them in
    named = dict(headers or {})
    if outcome.document is not None:
        named["etag"] = quoted(etag_of_document(outcome.document))
    return json_answer(body, status, named)


async def delete(call: WriteCall, ref: ObjectRef, public: str, *, force: bool) -> Response:
    """Delete an object: 204 when no node serves it any more, or nobody waited; 200 when there is more to say."""
    options = call.forced(force=force)

    async def perform() -> Response:
        outcome = await call.api.objects.delete(call.principal, ref, options)
        body = {
            "id": public,
            "status": "deleted",
            **shown_sync(outcome.sync),
            **shown_warnings(outcome.report),
        }
        answer = write_answer(call, outcome, body, done=204)
        return Response(status_code=204) if answer.status_code == 204 else answer

    return await call.answer(perform)
