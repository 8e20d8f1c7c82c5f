"""The database: SQLAlchemy, asynchronous, SQLite or PostgreSQL; migrations by Alembic."""
