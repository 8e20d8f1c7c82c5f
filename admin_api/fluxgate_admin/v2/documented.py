"""What the OpenAPI says of an operation besides its types: scope, every refusal there can be, examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Union

from fluxgate_admin.auth.scopes import PUBLIC
from fluxgate_admin.v2.shapes import DeletedShape, ErrorShape, TrialShape

_REFUSALS: Mapping[int, tuple[str, str, str]] = {
    400: ("The request cannot be read.", "invalid_request", "/match: is required"),
    401: (
        "No credential, or not a valid one.",
        "unauthenticated",
        "The credential is not valid.",
    ),
    403: (
        "The credential lacks a scope, may not be used from there, or the cluster does not let FluxGate.",
        "scope_mismatch",
        "Token lacks routes:write permission. Contact org admin to elevate service account.",
    ),
    404: (
        "There is no such object, or not for this caller.",
        "not_found",
        "There is no Route rt_9x4m2p1q.",
    ),
    408: (
        "The body did not arrive in time.",
        "request_timeout",
        "The body did not arrive within 30 s.",
    ),
    409: (
        "It exists already, others use it, or the idempotency key was used for something else.",
        "already_exists",
        "Route default/payments-service-v2 exists already.",
    ),
    412: (
        "If-Match names another version.",
        "precondition_failed",
        "Route default/payments-service-v2 is not the version that If-Match names; read it again.",
    ),
    413: ("The body is too large.", "too_large", "The body is larger than 1048576 bytes."),
    422: (
        "The change would not be served as written; nothing is stored.",
        "unprocessable",
        "/match/path: must start with /",
    ),
    429: (
        "The credential's limit is used up; or too many calls from there were refused (`too_many_failures`).",
        "rate_limited",
        "30 writes a minute are used up.",
    ),
    500: (
        "A mistake of ours.",
        "internal_error",
        "Something went wrong here; the log has the details under this request_id.",
    ),
    503: (
        (
            "The API server, the folder or the database does not answer; a write may have been made. "
            "After `busy` and `not_ready` it was not: nothing could be tried."
        ),
        "unavailable",
        "The database does not answer.",
    ),
}
ALWAYS = (400, 401, 403, 429, 500, 503)
READS = (404,)
WRITES = (404, 409, 412, 413, 422)
DRY_RUN = "With dry_run: what it would do."
NOT_YET = "Stored, and not served by every node yet, or rejected."


def responses(
    good: Mapping[int | str, dict[str, Any]], refused: tuple[int, ...] = ()
) -> dict[int | str, dict[str, Any]]:
    """Every answer of an operation: the good ones, and the refusals besides those that any may get."""
    found: dict[int | str, dict[str, Any]] = dict(good)
    late = {408} if 413 in refused else set()
    for status in sorted({*ALWAYS, *refused, *late}):
        found[status] = refusal(status)
    return found


def refusal(status: int) -> dict[str, Any]:
    """One refusal, for ``responses``."""
    description, error, message = _REFUSALS[status]
    example = {"error": error, "message": message, "request_id": "req_77f2a9c1"}
    shown: dict[str, Any] = {
        "model": ErrorShape,
        "description": description,
        "content": {"application/json": {"example": example}},
    }
    if status in (429, 503):
        shown["headers"] = {
            "Retry-After": {
                "description": "Seconds until it is worth trying again.",
                "schema": {"type": "string"},
            }
        }
    return shown


def answers(
    model: Any,  # noqa: ANN401 - a model, or several
    description: str,
    example: object = None,
    *,
    etag: bool = False,
) -> dict[str, Any]:
    """One good answer, for ``responses``."""
    shown: dict[str, Any] = {"model": model, "description": description}
    if example is not None:
        shown["content"] = {"application/json": {"example": example}}
    if etag:
        shown["headers"] = {
            "ETag": {
                "description": "The version, for If-Match and If-None-Match.",
                "schema": {"type": "string"},
            }
        }
    return shown


def changes(shape: Any, done: str) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401 - a model
    """The answers of an operation that changes an object that there is; ``done`` is in the first of them."""
    either: Any = Union[shape, TrialShape]  # noqa: UP007 - made at run time
    return responses(
        {
            200: answers(either, f"{done}; with dry_run, what it would do.", etag=True),
            202: answers(shape, NOT_YET),
        },
        WRITES,
    )


def deletes() -> dict[int | str, dict[str, Any]]:
    """The answers of an operation that deletes an object."""
    either: Any = Union[DeletedShape, TrialShape]  # noqa: UP007 - made at run time
    return responses(
        {
            200: answers(
                either, "Deleted, and there are `warnings`; with dry_run, what it would do."
            ),
            202: answers(DeletedShape, "Deleted, and some node has it still."),
            204: {"description": "No node has it any more, proven; or nobody waited."},
        },
        (404, 409, 412, 422),
    )


def public() -> dict[str, Any]:
    """For ``openapi_extra`` of what everybody may read."""
    return {"x-required-scope": PUBLIC, "security": []}
