"""Options about the admin API, which several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

LOOPBACK = "127.0.0.1"

Address = Annotated[
    str,
    typer.Option(
        "--admin-address",
        envvar="FLUXGATE_ADMIN_LISTEN_ADDRESS",
        help="An IP address to serve the admin API on.",
    ),
]
UnsignedWrites = Annotated[
    bool,
    typer.Option(
        "--admin-unsigned-writes",
        help="Let writes by key come without a signature; only where everything listens on loopback.",
    ),
]
Database = Annotated[
    str,
    typer.Option(
        "--database",
        envvar="FLUXGATE_ADMIN_DATABASE",
        help="A SQLAlchemy URL: sqlite+aiosqlite:///admin.db, postgresql+psycopg://user@host/name.",
    ),
]
MasterKeyFile = Annotated[
    Path | None,
    typer.Option(
        "--master-key-file",
        envvar="FLUXGATE_ADMIN_MASTER_KEY_FILE",
        help="File with the master keys, the one that seals first; else FLUXGATE_ADMIN_MASTER_KEYS.",
    ),
]


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says; empty is not said."""

    database: str = ""
    master_key_file: Path | None = None
    issuer: str = ""
    unsigned_writes: bool = False
