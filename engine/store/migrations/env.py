"""Run by `engine.store.engines.migrate` on the connection it hands over; there is no alembic.ini and no command line."""

from alembic import context

from engine.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False
)
context.run_migrations()
