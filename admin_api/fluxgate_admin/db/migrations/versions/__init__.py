"""One module a step of the schema: ``0001_credentials.py`` has ``revision = "0001"``, ``down_revision = None``.

Each has ``upgrade()`` and ``downgrade()``; the tables of ``fluxgate_admin.db.schema`` are what all of them
together make. Types of our own (``UtcTime``) are spelled ``sa.DateTime(timezone=True)`` here, so that a
step keeps its meaning when the code changes.
"""
