"""Every table there is: importing this module names them all to SQLAlchemy."""

from __future__ import annotations

from fluxgate_admin.auth import tables as credentials
from fluxgate_admin.db import tables as records
from fluxgate_admin.db.base import Table

TABLES = (credentials, records)
"""The modules that declare tables."""

METADATA = Table.metadata
"""What the migrations, run to the head, have to make; a test compares them."""
