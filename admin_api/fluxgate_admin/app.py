"""The application: routers over use cases, and nothing of its own."""

from __future__ import annotations

import time

from fastapi import FastAPI

from fluxgate_admin.assembling import build_use_cases
from fluxgate_admin.deps import Deps
from fluxgate_admin.http import error_handlers
from fluxgate_admin.http.authentication import AnswerHeaders
from fluxgate_admin.http.entrance import Entrance
from fluxgate_admin.http.idempotency import Idempotency
from fluxgate_admin.http.middleware import RequestMiddleware
from fluxgate_admin.http.shared import Shared
from fluxgate_admin.openapi import describe
from fluxgate_admin.v2 import (
    audit,
    auth,
    config,
    explain,
    history,
    nodes,
    oauth,
    objects,
    plugins,
    routes,
    system,
)

READY_SECONDS = 1.0
"""So old an answer of the database may be for the process to be ready."""
TITLE = "FluxGate admin API"
ROUTERS = (
    system.router,
    oauth.router,
    auth.router,
    routes.router,
    plugins.router,
    config.router,
    objects.router,
    history.router,
    audit.router,
    explain.router,
    nodes.router,
)


def create_app(deps: Deps) -> FastAPI:
    """The admin API over what the process has. Starting and ending what ``deps`` hold is the caller's."""
    app = FastAPI(
        title=TITLE,
        version="2",
        summary="Routes, plugins and configuration of an API gateway, with proof that every Envoy serves them.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.deps = deps
    app.state.use_cases = build_use_cases(deps)
    app.state.database_answers = Shared(deps.check_database, READY_SECONDS, time.monotonic)
    app.state.written = {}
    app.state.idempotency = Idempotency(deps.idempotency, deps.log)
    error_handlers.install(app)
    for router in ROUTERS:
        app.include_router(router)
    # the last added is the outermost
    app.add_middleware(Entrance, failed=deps.access.failed_calls, settings=deps.settings)
    app.add_middleware(RequestMiddleware, deps=deps)
    app.add_middleware(AnswerHeaders)
    describe(app)
    return app
