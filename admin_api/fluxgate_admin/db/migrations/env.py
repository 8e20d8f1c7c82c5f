"""Run by Alembic; see ``fluxgate_admin.db.migrate``."""

from alembic import context

from fluxgate_admin.db.migrate import run_environment

run_environment(context)  # type: ignore[arg-type]  # the module stands for its EnvironmentContext
