"""The exception tree of FluxGate.

A user's mistake in a resource never raises inside the translator: it becomes a
condition on that object. Exceptions are for callers of the library: input that
cannot be parsed at all, and broken invariants.

    FluxGateError
    ├── ResourceError            one document is not a valid resource
    ├── ResourceClientError      reading or writing objects failed
    │   ├── ResourceNotFoundError
    │   ├── ResourceExistsError
    │   ├── ResourceConflictError        it changed meanwhile
    │   ├── ResourceForbiddenError       a right of our own is missing
    │   ├── ResourceDryRunError          only the write itself would find out
    │   └── ResourceStoreUnavailableError  no answer; a write may have been made
    ├── IdentityUnavailableError nobody can say now whose a token is
    ├── ApiKeyFormatError        a presented or configured API key is malformed
    └── InconsistentSnapshotError  a snapshot refers to resources it does not hold
"""

from __future__ import annotations

from dataclasses import dataclass


class FluxGateError(Exception):
    """Base of every exception FluxGate raises on purpose."""


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one field.

    ``path`` is the JSON path as the user wrote it (``spec.matches[0].path.value``),
    ``message`` says what is wrong and what would be right.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ResourceError(FluxGateError):
    """A document is not a valid resource.

    ``subject`` names the object as far as it could be read
    (``Route default/orders``), ``problems`` every field that is wrong.
    """

    def __init__(self, subject: str, problems: tuple[FieldProblem, ...]) -> None:
        self.subject = subject
        self.problems = problems
        super().__init__(f"{subject}: " + "; ".join(str(problem) for problem in problems))


class ResourceClientError(FluxGateError):
    """Reading or writing an object failed; ``subject`` names it (``Route default/orders``)."""

    def __init__(self, subject: str, message: str) -> None:
        self.subject = subject
        self.message = message
        super().__init__(f"{subject}: {message}" if subject else message)


class ResourceNotFoundError(ResourceClientError):
    """There is no such object."""


class ResourceExistsError(ResourceClientError):
    """An object of that kind, namespace and name is there already."""


class ResourceConflictError(ResourceClientError):
    """The object is not at the version that was to be replaced any more."""


class ResourceForbiddenError(ResourceClientError):
    """The API server does not let us, whoever asked: a right of our own is missing. Nothing was written."""


class ResourceDryRunError(ResourceClientError):
    """What a write would be told cannot be said before it is made; ``message`` says why. Only of dry runs."""


class ResourceStoreUnavailableError(ResourceClientError):
    """The API server or the folder did not answer; a write may have been made all the same.

    ``retry_after`` is in seconds, None when nobody said. ``unwritten`` says that a write was certainly not made
    (a full disk).
    """

    def __init__(
        self,
        subject: str,
        message: str,
        retry_after: float | None = None,
        *,
        unwritten: bool = False,
    ) -> None:
        self.retry_after = retry_after
        self.unwritten = unwritten
        super().__init__(subject, message)


class IdentityUnavailableError(FluxGateError):
    """The API server did not say whose a token is, or what it allows; it may by and by."""


class ApiKeyFormatError(FluxGateError):
    """An API key does not have the configured form (prefix, alphabet, checksum)."""


class InconsistentSnapshotError(FluxGateError):
    """A snapshot refers to resources it does not hold; it must never be published."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))
