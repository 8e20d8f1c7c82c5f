"""The admin API of one process: its database, its recorder, its server, started and ended in order."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from structlog.typing import FilteringBoundLogger

from fluxgate.ir import Gateway
from fluxgate.ports import ClusterIdentities, ControlPlane, ResourceClient, TrialRunner
from fluxgate_admin.access import Access
from fluxgate_admin.app import create_app
from fluxgate_admin.db.audit import SqlAuditLog
from fluxgate_admin.db.database import Database
from fluxgate_admin.db.history import SqlHistory
from fluxgate_admin.db.idempotency import SqlIdempotency
from fluxgate_admin.db.retention import Retention
from fluxgate_admin.deps import Deps, now_utc
from fluxgate_admin.settings import AdminSettings
from fluxgate_admin.use_cases.recorder import Recorder
from fluxgate_cli.admin import store
from fluxgate_cli.errors import UsageError
from fluxgate_operator.embedded import serving_app
from fluxgate_operator.errors import PortTakenError
from fluxgate_operator.server_certificate import ServerCertificate

_GRACE_SECONDS = 10
"""How long requests that have begun may take to end, once nobody is let in any more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen; port 0 picks a free one. With ``certificate`` and ``key`` (PEM) by HTTPS."""

    address: str = "127.0.0.1"
    port: int = 8090
    certificate: Path | None = None
    key: Path | None = None

    def tls(self, log: FilteringBoundLogger) -> ServerCertificate | None:
        """What the server shows; its files are read when it is entered."""
        if self.certificate is None or self.key is None:
            return None
        return ServerCertificate(self.certificate, self.key, log)


@dataclass(frozen=True, slots=True)
class World:
    """What the admin API shows and changes. ``identities`` lets tokens of the cluster's in.

    ``namespaces`` are those of ``resources``, empty for all.
    """

    plane: ControlPlane
    trials: TrialRunner
    resources: ResourceClient
    identities: ClusterIdentities | None = None
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that answers, at ``url``. ``access`` is who may call."""

    url: str
    access: Access


@contextlib.asynccontextmanager
async def serving_admin(
    place: Place,
    settings_at: Callable[[str], AdminSettings],
    world: World,
    log: FilteringBoundLogger,
) -> AsyncIterator[Serving]:
    """Serve the admin API while the context is open. ``settings_at`` is told the URL.

    Raises ``UsageError`` for settings that cannot be used or are not safe, ``PortTakenError``,
    ``GivenCertificateError`` and ``CliError``. What brings a part of it down while it runs comes out of the context, as a group.
    """
    with contextlib.ExitStack() as stack:
        if (tls := place.tls(log)) is not None:
            stack.enter_context(tls)
        sock = stack.enter_context(contextlib.closing(_bound(place)))
        scheme = "https" if tls is not None else "http"
        url = f"{scheme}://{_host(place.address)}:{sock.getsockname()[1]}"
        settings = settings_at(url)
        check_unsigned(settings, place, world.plane.gateways())
        await store.prepare(settings, log)
        async with (
            Database(settings.database, log=log) as database,
            _running(settings, database, world, log) as deps,
            serving_app(create_app(deps), sock, "admin", tls=tls, grace=_GRACE_SECONDS),
        ):
            yield Serving(url, deps.access)


@contextlib.asynccontextmanager
async def _running(
    settings: AdminSettings, database: Database, world: World, log: FilteringBoundLogger
) -> AsyncIterator[Deps]:
    """Everything behind the server, and what goes on beside it."""
    access = await store.access_to(settings, database, log, world.identities)
    history, audit = SqlHistory(database, now_utc), SqlAuditLog(database, log)
    kept = dt.timedelta(hours=settings.retention.idempotency_hours)
    try:
        await _check_callers(access, world)
        deps = Deps(
            settings=settings,
            plane=world.plane,
            resources=world.resources,
            trials=world.trials,
            history=history,
            idempotency=SqlIdempotency(database, access.box, now_utc, keep_for=kept),
            audit=audit,
            access=access,
            log=log,
            check_database=database.check,
        )
        recorder = Recorder(
            world.resources, history, log=log, clock=now_utc, namespaces=world.namespaces
        )
        retention = Retention(
            database, settings.retention, now_utc, log, more=(lambda _: access.forget_expired(),)
        )
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(recorder.run(), name="recorder"),
                group.create_task(retention.run(), name="retention"),
            ]
            yield deps
            for each in tasks:
                each.cancel()
    finally:
        await audit.close()
        await access.close()


async def _check_callers(access: Access, world: World) -> None:
    """Nobody could call: better said at the start than by 401 for ever."""
    if world.identities is None and not await access.keys.exist():
        raise UsageError(
            "the admin API does not start while there is no key that may call it",
            "Make the first one with `fluxgate admin bootstrap`.",
        )


def check_unsigned(settings: AdminSettings, place: Place, gateways: Mapping[str, Gateway]) -> None:
    """Raise :class:`UsageError` when unsigned writes are let in and somebody else could send them.

    A gateway that listens for others could be given a route to the admin API.
    """
    if settings.signatures.required:
        return
    heard = [place.address]
    heard += [each.address for gateway in gateways.values() for each in gateway.listeners]
    if elsewhere := sorted({each for each in heard if not is_loopback(each)}):
        raise UsageError(
            f"unsigned writes are for loopback alone, and this process listens on {', '.join(elsewhere)}",
            "Leave --admin-unsigned-writes out: `fluxgate request` signs.",
        )


def is_loopback(address: str) -> bool:
    """Whether an address to listen on is this machine's alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _bound(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
    try:
        return socket.create_server((place.address, place.port), family=family)
    except OSError as error:
        raise PortTakenError(
            f"the admin API cannot be served on {place.address}:{place.port}: {error}; choose "
            "another port"
        ) from error


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
