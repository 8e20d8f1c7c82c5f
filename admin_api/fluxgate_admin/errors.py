"""What the admin API refuses, as one tree; every surface renders it in its own shape.

AdminError
├── InvalidRequestError       400  the request cannot be read
├── UnauthenticatedError      401  no credential, or not a valid one
├── ScopeMismatchError        403  the credential lacks a scope
├── AddressNotAllowedError    403  the credential may not be used from there
├── NotPermittedError         403  the cluster does not let FluxGate itself do it
├── NotFoundError             404  no such object, or not for this caller
├── RequestTimeoutError       408  the body did not arrive in time
├── ConflictError             409  exists, is in use, or an idempotency key was used for something else
├── PreconditionFailedError   412  If-Match names another version
├── TooLargeError             413
├── UnprocessableError        422  the change would not be served as written
├── TooManyRequestsError      429
└── UnavailableError          503  the API server, the folder or the database does not answer, or nothing can be tried
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fluxgate.errors import FluxGateError


class AdminError(FluxGateError):
    """A refusal. ``error`` is a stable word for programs, ``message`` names object, field and remedy.

    ``details`` is further JSON for the body (problems with their pointers, names of what refers), ``headers``
    go into the answer.
    """

    status: ClassVar[int] = 500
    default_error: ClassVar[str] = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        error: str = "",
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.error = error or self.default_error
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        super().__init__(message)


class InvalidRequestError(AdminError):
    """The request cannot be read: not JSON, a wrong type, an unknown field or parameter."""

    status = 400
    default_error = "invalid_request"


class UnauthenticatedError(AdminError):
    """No credential, or not a valid one; never says which part of it is wrong."""

    status = 401
    default_error = "unauthenticated"


class ScopeMismatchError(AdminError):
    """The credential lacks a scope."""

    status = 403
    default_error = "scope_mismatch"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"Token lacks {scope} permission. Contact org admin to elevate service account.",
            details={"scope": scope},
        )


class AddressNotAllowedError(AdminError):
    """The credential may not be used from this address."""

    status = 403
    default_error = "address_not_allowed"


class NotPermittedError(AdminError):
    """The caller may, and FluxGate itself may not: the cluster gives its ServiceAccount no such right.

    No 503: asking again does not help until somebody gives the right.
    """

    status = 403
    default_error = "not_permitted"


class NotFoundError(AdminError):
    """There is no such object, or not for this caller: both answer the same."""

    status = 404
    default_error = "not_found"


class RequestTimeoutError(AdminError):
    """The body did not arrive in time."""

    status = 408
    default_error = "request_timeout"


class ConflictError(AdminError):
    """It exists already, others refer to it, or an idempotency key was used for something else."""

    status = 409
    default_error = "conflict"


class PreconditionFailedError(AdminError):
    """``If-Match`` names another version than the one that is there."""

    status = 412
    default_error = "precondition_failed"


class TooLargeError(AdminError):
    """The body is larger than is read."""

    status = 413
    default_error = "too_large"


class UnprocessableError(AdminError):
    """The change can be read, and would not be served as written; ``details.problems`` say why."""

    status = 422
    default_error = "unprocessable"

    def __init__(
        self, message: str, problems: Sequence[Mapping[str, Any]] = (), *, error: str = ""
    ) -> None:
        super().__init__(message, error=error, details={"problems": list(problems)})


class TooManyRequestsError(AdminError):
    """The limit of this credential, or of where it calls from, is used up; ``retry-after`` is in ``headers``."""

    status = 429
    default_error = "rate_limited"


class UnavailableError(AdminError):
    """The API server, the folder or the database does not answer; the write may have been made.

    Not after ``busy`` (too many are tried) and ``not_ready`` (nothing has been read yet): nothing was stored.
    """

    status = 503
    default_error = "unavailable"
