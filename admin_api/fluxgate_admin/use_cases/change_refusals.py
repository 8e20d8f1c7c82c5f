"""Why a change of an object is refused, in words."""

from __future__ import annotations

from collections.abc import Sequence

from fluxgate.resources import ObjectRef
from fluxgate_admin.errors import AdminError, ConflictError, UnprocessableError
from fluxgate_admin.use_cases.drafts import Problem

MOST_PROBLEMS = 100
"""More are counted, and not told."""
_SHOWN = 20


def unservable(problems: tuple[Problem, ...]) -> UnprocessableError:
    """The refusal of a change that would not be served as written."""
    first = problems[0]
    where = f"{first.pointer}: " if first.pointer else ""
    whose = f"{first.subject}: " if first.subject else ""
    more = f" ({len(problems) - 1} more in problems)" if len(problems) > 1 else ""
    return UnprocessableError(
        f"{whose}{where}{first.message}{more}",
        [each.as_json() for each in problems[:MOST_PROBLEMS]],
    )


def missed(ref: ObjectRef, problems: tuple[Problem, ...]) -> AdminError:
    """The refusal of a deletion that would leave others unserved."""
    users = sorted({str(each.subject) for each in problems if each.subject is not None})
    return in_use(ref, users) if users else unservable(problems)


def in_use(ref: ObjectRef, users: Sequence[str]) -> ConflictError:
    """The refusal of a deletion of what others name."""
    more = f" and {len(users) - _SHOWN} more" if len(users) > _SHOWN else ""
    return ConflictError(
        f"{ref} is used by {', '.join(users[:_SHOWN])}{more}. Change them first, or delete it all "
        "the same with force=true.",
        error="in_use",
        details={"used_by": list(users[:MOST_PROBLEMS])},
    )


def exists(ref: ObjectRef) -> ConflictError:
    """The refusal of a new object in the place of another one."""
    return ConflictError(f"{ref} exists already.", error="already_exists")
