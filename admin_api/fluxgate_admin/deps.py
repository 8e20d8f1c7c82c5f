"""What the admin API is given. Built by the command line, passed to ``create_app``, never global."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from fluxgate.ports import ControlPlane, ResourceClient, TrialRunner
from fluxgate_admin.access import Access
from fluxgate_admin.settings import AdminSettings
from fluxgate_admin.use_cases.ports import AuditLog, History, IdempotencyStore


def now_utc() -> dt.datetime:
    """This moment, with its zone."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything the routers reach the world through.

    ``access`` says who may call; ``check_database`` raises ``UnavailableError`` while the database does not answer.
    """

    settings: AdminSettings
    plane: ControlPlane
    resources: ResourceClient
    trials: TrialRunner
    history: History
    idempotency: IdempotencyStore
    audit: AuditLog
    access: Access
    log: FilteringBoundLogger
    check_database: Callable[[], Awaitable[None]]
    clock: Callable[[], dt.datetime] = now_utc
