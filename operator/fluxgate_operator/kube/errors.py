"""What a Kubernetes API server answers when it does not do what was asked.

OperatorError
└── KubeError                    anything between us and the API server
    ├── KubeConfigError          no usable kubeconfig or ServiceAccount
    ├── KubeUnreachableError     no answer: refused, cut, timed out
    └── KubeApiError             an answer of 400 or more (meta/v1 Status)
        ├── UnauthorizedError    401: the token or certificate is not valid any more
        ├── ForbiddenError       403: RBAC says no
        ├── NotFoundError        404: no such object, or no such kind (CRD not installed)
        ├── ConflictError        409: changed meanwhile, or exists already
        ├── GoneError            410: the resource version or page token is too old
        ├── InvalidError         422: the object breaks a rule of its schema
        └── TooManyRequestsError 429: wait for ``retry_after``
"""

from __future__ import annotations

from collections.abc import Mapping

from fluxgate_operator.errors import OperatorError


class KubeError(OperatorError):
    """Anything between us and the API server."""


class KubeConfigError(KubeError):
    """There is no usable kubeconfig and no ServiceAccount either."""


class KubeUnreachableError(KubeError):
    """No answer: refused, cut or timed out. The request may have been carried out."""


class KubeApiError(KubeError):
    """An answer of 400 or more. ``retry_after`` is in seconds, None when the server names none."""

    def __init__(
        self, code: int, reason: str, message: str, *, retry_after: float | None = None
    ) -> None:
        self.code = code
        self.reason = reason
        self.retry_after = retry_after
        super().__init__(f"{code} {reason}: {message}" if reason else f"{code}: {message}")


class UnauthorizedError(KubeApiError):
    """401: the token or certificate is not valid (any more)."""


class ForbiddenError(KubeApiError):
    """403: RBAC or an admission plugin says no."""


class NotFoundError(KubeApiError):
    """404: there is no such object, or no such kind."""


class ConflictError(KubeApiError):
    """409: the object changed meanwhile, or exists already."""


class GoneError(KubeApiError):
    """410: the resource version or page token is too old; list again."""


class InvalidError(KubeApiError):
    """422: the object breaks a rule of its schema."""


class TooManyRequestsError(KubeApiError):
    """429: the server is busy, or its storage of this kind is not ready yet."""


_BY_CODE: Mapping[int, type[KubeApiError]] = {
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    422: InvalidError,
    429: TooManyRequestsError,
}


def api_error(code: int, body: object, retry_after: float | None = None) -> KubeApiError:
    """The exception for an answer; ``body`` is a meta/v1 Status, or whatever came instead."""
    status = body if isinstance(body, dict) else {}
    message = status.get("message") or (body if isinstance(body, str) and body else "no message")
    reason = status.get("reason") or ""
    return _BY_CODE.get(code, KubeApiError)(code, reason, message, retry_after=retry_after)
