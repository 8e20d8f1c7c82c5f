"""Alembic's scripts. ``versions`` holds one module a step, in one line, read by their path."""
