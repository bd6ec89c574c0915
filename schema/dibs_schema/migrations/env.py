"""Run the migrations on the caller's connection; the caller opened the transaction and commits it."""

from alembic import context

from dibs_schema.migrations.engine_tables import metadata_for

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata_for(connection.dialect.name),
    transaction_per_migration=False,
    render_as_batch=False,
)
context.run_migrations()
