"""Let Alembic work on the connection that the ledger hands over."""

from __future__ import annotations

from alembic import context

from orchestrator.ledger.tables import Base

# SQLite cannot alter most of a table: "batch" copies it instead.
context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
