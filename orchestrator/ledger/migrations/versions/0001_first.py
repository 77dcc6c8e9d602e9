"""The first tables: run, step, hold, incident, point."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "run",
        *[
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("id", "client", "site", "host", "duty", "digest", "point")
        ],
        sa.Column("promised", sa.JSON(), nullable=False),
        sa.Column("variables", sa.JSON(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("process", "state", "outcome", "message")],
        sa.Column("began", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        sa.Column("occupies", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint("occupies", name="uq_run_occupies"),
    )
    op.create_index("ix_run_client_began", "run", ["client", "began"])
    op.create_table(
        "step",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began", MOMENT, nullable=False),
        sa.Column("ended", MOMENT),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("ending", "outcome", "message")],
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("run", "position", name="pk_step"),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name="fk_step_run_run"),
    )
    op.create_table(
        "hold",
        sa.Column("id", sa.Integer(), nullable=False),
        *[
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("client", "site", "kind", "slug", "version", "sha256", "reason", "run")
        ],
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("released", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_hold"),
        sa.UniqueConstraint("client", "site", "kind", "slug", "version", name="uq_hold_client_site_kind_slug_version"),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name="fk_hold_run_run"),
    )
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("client", "site", "run")],
        sa.Column("opened", MOMENT, nullable=False),
        sa.Column("closed", MOMENT),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_incident"),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name="fk_incident_run_run"),
    )
    op.create_index("ix_incident_client_opened", "incident", ["client", "opened"])
    op.create_table(
        "point",
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("id", "client", "site", "run")],
        sa.Column("taken", MOMENT, nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_point"),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name="fk_point_run_run"),
    )
    op.create_index("ix_point_client_site_taken", "point", ["client", "site", "taken"])


def downgrade() -> None:
    """Take them back, the ones that point at others first."""
    for table in ("point", "incident", "hold", "step", "run"):
        op.drop_table(table)
