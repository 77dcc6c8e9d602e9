"""Verifications; incidents that no run has found, and what they are about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table of verifications; let an incident be without a run. Every incident so far was about a site."""
    op.create_table(
        "verification",
        sa.Column("id", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("client", "site")],
        *[sa.Column(name, MOMENT, nullable=False) for name in ("began", "ended")],
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("of", sa.Integer(), nullable=False),
        sa.Column("packs", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.JSON(), nullable=False),
        sa.Column("damage", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_verification"),
    )
    op.create_index("ix_verification_client_site_began", "verification", ["client", "site", "began"])
    with op.batch_alter_table("incident") as incident:
        incident.add_column(sa.Column("about", sa.Text(), nullable=False, server_default="site"))
        incident.alter_column("run", existing_type=sa.Text(), nullable=True)
    with op.batch_alter_table("incident") as incident:
        incident.alter_column("about", existing_type=sa.Text(), server_default=None)


def downgrade() -> None:
    """Take them back. Incidents without a run have no place there."""
    op.execute("DELETE FROM incident WHERE run IS NULL")
    with op.batch_alter_table("incident") as incident:
        incident.drop_column("about")
        incident.alter_column("run", existing_type=sa.Text(), nullable=False)
    op.drop_table("verification")
