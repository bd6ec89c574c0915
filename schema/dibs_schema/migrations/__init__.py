"""Alembic's environment and versions; `dibs.database` runs them at a cold start."""
