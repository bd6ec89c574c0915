"""Create the first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create every table, constraint and index."""
    op.create_table(
        "projects",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("generation", sa.String(length=32), nullable=False),
        sa.Column("next_feature_id", sa.Integer(), nullable=False),
        sa.Column("next_question_id", sa.Integer(), nullable=False),
        sa.Column("claim_order", sa.String(length=20), nullable=False),
        sa.Column("max_claims", sa.Integer(), nullable=False),
        sa.Column("max_claims_per_connection", sa.Integer(), nullable=False),
        sa.Column("max_failures", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("max_skips", sa.Integer(), nullable=False),
        sa.Column("max_dependencies", sa.Integer(), nullable=False),
        sa.Column("back_off", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.CheckConstraint("claim_order IN ('priority', 'critical_path')", name=op.f("projects_claim_order")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100", name=op.f("projects_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("projects_pkey")),
        sa.UniqueConstraint("name", name=op.f("projects_name_key")),
    )
    op.create_table(
        "events",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("agent", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("from_status", sa.String(length=12), nullable=True),
        sa.Column("to_status", sa.String(length=12), nullable=True),
        sa.Column("detail", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("events_project_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("events_pkey")),
    )
    op.create_index("events_of_feature", "events", ["project_id", "feature_id", "id"], unique=False)
    op.create_table(
        "features",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("archived_from", sa.String(length=12), nullable=True),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("skips", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("unmet_dependencies", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("claim_token", sa.String(length=20), nullable=True),
        sa.Column("claimed_by", sa.String(length=100), nullable=True),
        sa.Column("claim_session", sa.String(length=40), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.Column("lease_clock", sa.String(length=64), nullable=True),
        sa.Column("lease_ends", sa.Double(), nullable=True),
        sa.Column("lease_seconds", sa.Double(), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("last_activity_at", sa.Double(), nullable=True),
        sa.Column("ended_token", sa.String(length=20), nullable=True),
        sa.Column("ended_by", sa.String(length=12), nullable=True),
        sa.Column("passed_by", sa.String(length=100), nullable=True),
        sa.Column("passed_at", sa.Double(), nullable=True),
        sa.Column("testing_until", sa.Double(), nullable=True),
        sa.Column("last_tested_at", sa.Double(), nullable=True),
        sa.Column("created_by", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("reference", sa.String(length=255), nullable=True),
        sa.Column("category", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("last_failure", sa.Text(), nullable=True),
        sa.Column("evidence", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("human_request", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("human_answer", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("steps", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "(status = 'archived' AND archived_from IS NOT NULL AND archived_from IN ('pending', 'passing', 'needs_human', 'stuck')) OR (status <> 'archived' AND archived_from IS NULL)",
            name=op.f("features_archived_from"),
        ),
        sa.CheckConstraint(
            "(status = 'in_progress' AND claim_token IS NOT NULL AND claimed_by IS NOT NULL AND claimed_at IS NOT NULL AND lease_clock IS NOT NULL AND lease_ends IS NOT NULL AND lease_seconds IS NOT NULL AND lease_expires_at IS NOT NULL AND last_activity_at IS NOT NULL) OR (status <> 'in_progress' AND claim_token IS NULL AND claimed_by IS NULL AND claimed_at IS NULL AND lease_clock IS NULL AND lease_ends IS NULL AND lease_seconds IS NULL AND lease_expires_at IS NULL AND last_activity_at IS NULL AND claim_session IS NULL)",
            name=op.f("features_claim"),
        ),
        sa.CheckConstraint("status <> 'needs_human' OR human_request IS NOT NULL", name=op.f("features_human_request")),
        sa.CheckConstraint(
            "status IN ('pending', 'in_progress', 'passing', 'needs_human', 'stuck', 'archived')",
            name=op.f("features_status"),
        ),
        sa.CheckConstraint(
            "height >= 0 AND skips >= 0 AND attempts >= 0 AND failures >= 0", name=op.f("features_counters")
        ),
        sa.CheckConstraint("id >= 1", name=op.f("features_id")),
        sa.CheckConstraint("length(category) BETWEEN 1 AND 100", name=op.f("features_category")),
        sa.CheckConstraint("length(description) BETWEEN 1 AND 20000", name=op.f("features_description")),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 255", name=op.f("features_name")),
        sa.CheckConstraint("unmet_dependencies >= 0", name=op.f("features_unmet_dependencies")),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("features_project_id_fkey")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("features_pkey")),
        sa.UniqueConstraint("project_id", "reference", name=op.f("features_project_id_reference_key")),
    )
    op.create_index(
        "features_holders",
        "features",
        ["project_id", "claimed_by", "claim_session"],
        unique=False,
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(
        "features_leases",
        "features",
        ["project_id", "lease_clock", "lease_ends"],
        unique=False,
        sqlite_where=sa.text("status = 'in_progress'"),
        postgresql_where=sa.text("status = 'in_progress'"),
    )
    op.create_index(
        "features_priority",
        "features",
        ["project_id", "priority"],
        unique=False,
        sqlite_where=sa.text("priority > -1000000000000"),
        postgresql_where=sa.text("priority > -1000000000000"),
    )
    op.create_index(
        "features_ready_by_priority",
        "features",
        ["project_id", "skips", "priority", "id", "not_before", "category"],
        unique=False,
        sqlite_where=sa.text("status = 'pending' AND unmet_dependencies = 0"),
        postgresql_where=sa.text("status = 'pending' AND unmet_dependencies = 0"),
    )
    op.create_index(
        "features_resting",
        "features",
        ["project_id", "status", "id"],
        unique=False,
        sqlite_where=sa.text("status IN ('needs_human', 'stuck', 'archived')"),
        postgresql_where=sa.text("status IN ('needs_human', 'stuck', 'archived')"),
    )
    op.create_index(
        "features_ready_by_critical_path",
        "features",
        ["project_id", "skips", sa.text("height DESC"), "priority", "id", "not_before", "category"],
        unique=False,
        sqlite_where=sa.text("status = 'pending' AND unmet_dependencies = 0 AND height IS NOT NULL"),
        postgresql_where=sa.text("status = 'pending' AND unmet_dependencies = 0 AND height IS NOT NULL"),
    )
    op.create_index(
        "features_tested",
        "features",
        ["project_id", "last_tested_at", "id"],
        unique=False,
        sqlite_where=sa.text("status = 'passing'"),
        postgresql_where=sa.text("status = 'passing'"),
    )
    op.create_table(
        "questions",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("asked_by", sa.String(length=100), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("answered_by", sa.String(length=100), nullable=True),
        sa.Column("answered_at", sa.Double(), nullable=True),
        sa.Column("questions", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("questions_project_id_fkey")),
        sa.PrimaryKeyConstraint("project_id", "id", name=op.f("questions_pkey")),
    )
    op.create_table(
        "requests",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(length=100), nullable=False),
        sa.Column("request_id", sa.String(length=100), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("requests_project_id_fkey")),
        sa.PrimaryKeyConstraint("project_id", "scope", "request_id", name=op.f("requests_pkey")),
    )
    op.create_index("requests_age", "requests", ["project_id", "created_at"], unique=False)
    op.create_table(
        "writers",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("library", sa.String(length=40), nullable=False),
        sa.Column("process", sa.String(length=200), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("writers_project_id_fkey")),
        sa.PrimaryKeyConstraint("project_id", "library", name=op.f("writers_pkey")),
    )
    op.create_table(
        "dependencies",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("feature_id", sa.Integer(), nullable=False),
        sa.Column("dependency_id", sa.Integer(), nullable=False),
        sa.CheckConstraint("feature_id <> dependency_id", name=op.f("dependencies_itself")),
        sa.ForeignKeyConstraint(
            ["project_id", "dependency_id"],
            ["features.project_id", "features.id"],
            name="dependencies_dependency_id_fkey",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "feature_id"],
            ["features.project_id", "features.id"],
            name=op.f("dependencies_project_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("project_id", "feature_id", "dependency_id", name=op.f("dependencies_pkey")),
    )
    op.create_index(
        "dependencies_dependents", "dependencies", ["project_id", "dependency_id", "feature_id"], unique=False
    )
