"""Databases: see :mod:`support.databases`."""

from support.databases import (
    database,
    database_place,
    empty_database,
    kind_of_database,
    migrated_file,
    migrated_template,
    postgres,
)

__all__ = [
    "database",
    "database_place",
    "empty_database",
    "kind_of_database",
    "migrated_file",
    "migrated_template",
    "postgres",
]
