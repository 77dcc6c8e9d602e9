"""Releases: when each was first seen on offer, and when last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the table of releases. Nothing is known of those that were on offer before."""
    names = ("client", "kind", "slug", "version")
    op.create_table(
        "release",
        *[sa.Column(name, sa.Text(), nullable=False) for name in names],
        *[sa.Column(name, MOMENT, nullable=False) for name in ("first", "last")],
        sa.PrimaryKeyConstraint(*names, name="pk_release"),
    )


def downgrade() -> None:
    """Take it back: a cool-down begins anew."""
    op.drop_table("release")
