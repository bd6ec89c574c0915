"""The tables of a backlog: typed Core columns, constraints, and the indexes of the hot paths.

Times are in seconds of the wall clock since 1970, except `lease_ends`, which is a reading of the clock that
`lease_clock` names. Long texts are the last columns, so that a scan of the short ones reads few pages.
The migrations create and change databases; a test compares their result with these tables.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    TypedColumns,
    UniqueConstraint,
    text,
)

from dibs_schema.file_areas import LONGEST_PATH
from dibs_schema.status import Status

HEAD = "0013"
"""The newest migration; a warm start compares this with the database and imports nothing of Alembic."""

BELOW_EVERY_PRIORITY = -1_000_000_000_000
PLACE_GAP = 2**20
"""The distance of the places of features with adjacent ids, at first."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)


def _partial(name: str, *columns: str | TextClause, where: str) -> Index:
    """Return an index of the rows that match `where`, which must be a literal: planners match no parameter with it.

    `info` holds the predicate, and the migrations' environment passes it to the engine in use. Naming it for each
    engine here would load every dialect into every server.
    """
    return Index(name, *columns, info={"where": where})


class _Projects(TypedColumns):
    id = Column(Integer, primary_key=True)
    name = Column(String(100), nullable=False, unique=True)
    generation = Column(String(32), nullable=False)
    next_feature_id = Column(Integer, nullable=False)
    next_question_id = Column(Integer, nullable=False)
    claim_order = Column(String(20), nullable=False)
    max_claims = Column(Integer, nullable=False)
    max_claims_per_connection = Column(Integer, nullable=False)
    max_failures = Column(Integer, nullable=False)
    max_attempts = Column(Integer, nullable=False)
    max_skips = Column(Integer, nullable=False)
    max_dependencies = Column(Integer, nullable=False)
    back_off = Column(Integer, nullable=False)
    created_at = Column(Double, nullable=False)
    moved_to = Column(String(500))
    require_evidence = Column(
        String(10),
        CheckConstraint("require_evidence IN ('off', 'summary', 'command')", name="require_evidence"),
        nullable=False,
        server_default=text("'off'"),
    )
    verifier = Column(
        String(10),
        CheckConstraint("verifier IN ('anyone', 'other')", name="verifier"),
        nullable=False,
        server_default=text("'anyone'"),
    )
    max_same_failures = Column(Integer, nullable=False, server_default=text("3"))
    rechecks = Column(
        String(10),
        CheckConstraint("rechecks IN ('optional', 'required')", name="rechecks"),
        nullable=False,
        server_default=text("'optional'"),
    )
    instructions = Column(
        Text,
        CheckConstraint("length(instructions) <= 2000", name="instructions"),
        nullable=False,
        server_default=text("''"),
    )
    done_when = Column(
        Text, nullable=False, server_default=text("''")
    )  # JSON as text, which no transaction parses again
    verify_command = Column(Text, nullable=False, server_default=text("''"))
    verify_seconds = Column(Integer, nullable=False, server_default=text("300"))


projects = Table(
    "projects",
    metadata,
    _Projects,
    CheckConstraint("claim_order IN ('priority', 'critical_path')", name="claim_order"),
    CheckConstraint("length(name) BETWEEN 1 AND 100", name="name"),
)


class _Features(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    id = Column(Integer, primary_key=True, autoincrement=False)
    status = Column(String(12), nullable=False)
    archived_from = Column(String(12))
    priority = Column(Integer, nullable=False)
    skips = Column(Integer, nullable=False)
    height = Column(Integer)
    unmet_dependencies = Column(Integer, nullable=False)  # and open questions that it waits for
    attempts = Column(Integer, nullable=False)
    failures = Column(Integer, nullable=False)
    not_before = Column(Double)
    claim_token = Column(String(20))
    claimed_by = Column(String(100))
    claim_session = Column(String(40))
    claimed_at = Column(Double)
    lease_clock = Column(String(64))
    lease_ends = Column(Double)
    lease_seconds = Column(Double)
    lease_expires_at = Column(Double)
    last_activity_at = Column(Double)
    ended_token = Column(String(20))
    ended_by = Column(String(12))
    passed_by = Column(String(100))
    passed_at = Column(Double)
    testing_until = Column(Double)
    last_tested_at = Column(Double)
    created_by = Column(String(100), nullable=False)
    created_at = Column(Double, nullable=False)
    updated_at = Column(Double, nullable=False)
    reference = Column(String(255))
    category = Column(String(100), nullable=False)
    name = Column(String(255), nullable=False)
    last_failure = Column(Text)
    evidence = Column(JSON(none_as_null=True))
    human_request = Column(JSON(none_as_null=True))
    human_answer = Column(JSON(none_as_null=True))
    steps = Column(JSON, nullable=False)
    description = Column(Text, nullable=False)
    unconfirmed_since = Column(Double)
    confirmed_by = Column(String(100))
    paths = Column(JSON(none_as_null=True))
    name_digest = Column(String(32))
    search_text = Column(Text)
    recheck_since = Column(
        Double,
        CheckConstraint("recheck_since IS NULL OR coalesce(archived_from, status) = 'passing'", name="recheck_since"),
    )
    source = Column(String(255))  # the list that it was imported from, to which its reference belongs
    place = Column(BigInteger, nullable=False, server_default=text("0"))  # among the features of the same priority


_STATUSES = ", ".join(f"'{status}'" for status in Status)
_CLAIM = (
    *("claim_token", "claimed_by", "claimed_at", "lease_clock"),
    *("lease_ends", "lease_seconds", "lease_expires_at", "last_activity_at"),
)
_CLAIMED = " AND ".join(f"{column} IS NOT NULL" for column in _CLAIM)
_UNCLAIMED = " AND ".join(f"{column} IS NULL" for column in (*_CLAIM, "claim_session"))
_READY = "status = 'pending' AND unmet_dependencies = 0"
_SKIPS_FIRST, _THEN_PRIORITY = ("project_id", "skips"), ("priority", "place", "id", "not_before", "category")

features = Table(
    "features",
    metadata,
    _Features,
    ForeignKeyConstraint(["project_id"], ["projects.id"]),
    UniqueConstraint("project_id", "reference"),
    CheckConstraint(f"status IN ({_STATUSES})", name="status"),
    CheckConstraint(
        f"(status = 'in_progress' AND {_CLAIMED}) OR (status <> 'in_progress' AND {_UNCLAIMED})", name="claim"
    ),
    CheckConstraint(
        "(status = 'archived' AND archived_from IS NOT NULL"
        " AND archived_from IN ('pending', 'passing', 'needs_human', 'stuck'))"
        " OR (status <> 'archived' AND archived_from IS NULL)",
        name="archived_from",
    ),
    CheckConstraint("status <> 'needs_human' OR human_request IS NOT NULL", name="human_request"),
    CheckConstraint("unmet_dependencies >= 0", name="unmet_dependencies"),
    CheckConstraint("height >= 0 AND skips >= 0 AND attempts >= 0 AND failures >= 0", name="counters"),
    CheckConstraint("id >= 1", name="id"),
    CheckConstraint("length(category) BETWEEN 1 AND 100", name="category"),
    CheckConstraint("length(name) BETWEEN 1 AND 255", name="name"),
    CheckConstraint("length(description) BETWEEN 1 AND 20000", name="description"),
    # The queue, one index for each order; the last columns let a query read only the index.
    # Heights are null unless the project sorts by them, so that index is empty for the other order.
    _partial("features_ready_by_priority", *_SKIPS_FIRST, *_THEN_PRIORITY, where=_READY),
    _partial(
        "features_ready_by_critical_path",
        *(*_SKIPS_FIRST, text("height DESC"), *_THEN_PRIORITY),
        where=f"{_READY} AND height IS NOT NULL",
    ),
    # For reaping, by clock and end; and to count the claims of one agent or connection.
    _partial("features_leases", "project_id", "lease_clock", "lease_ends", where="status = 'in_progress'"),
    _partial("features_holders", "project_id", "claimed_by", "claim_session", where="status = 'in_progress'"),
    # The least recently tested first.
    _partial("features_tested", "project_id", "last_tested_at", "id", where="status = 'passing'"),
    # Passing features that wait for another agent to confirm them, the oldest first.
    _partial("features_unconfirmed", "project_id", "unconfirmed_since", "id", where="unconfirmed_since IS NOT NULL"),
    # Passing features that depend on one that has become unmet since, the longest-waiting first.
    _partial("features_recheck", "project_id", "recheck_since", "id", where="recheck_since IS NOT NULL"),
    # The few features that wait for a person or a planner or are archived, to count and list them.
    _partial("features_resting", "project_id", "status", "id", where="status IN ('needs_human', 'stuck', 'archived')"),
    # The features with the same category and name; and the text of searches, so that they read only this index.
    Index("features_name_digest", "project_id", "name_digest"),
    Index("features_search_text", "project_id", "id", "search_text"),
    # The least and the greatest priority, and the places of one priority. The predicate is always true; it keeps the
    # index out of every other plan.
    _partial("features_priority", "project_id", "priority", "place", where=f"priority > {BELOW_EVERY_PRIORITY}"),
)


class _Dependencies(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    feature_id = Column(Integer, primary_key=True)
    dependency_id = Column(Integer, primary_key=True)


dependencies = Table(
    "dependencies",
    metadata,
    _Dependencies,
    ForeignKeyConstraint(["project_id", "feature_id"], ["features.project_id", "features.id"]),
    ForeignKeyConstraint(
        ["project_id", "dependency_id"], ["features.project_id", "features.id"], name="dependencies_dependency_id_fkey"
    ),
    CheckConstraint("feature_id <> dependency_id", name="itself"),
    Index("dependencies_dependents", "project_id", "dependency_id", "feature_id"),
)


class _Areas(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    feature_id = Column(Integer, primary_key=True)
    beginning = Column(String(LONGEST_PATH + 1), primary_key=True)
    ending = Column(String(LONGEST_PATH), primary_key=True)


areas = Table(
    "areas",
    metadata,
    _Areas,
    ForeignKeyConstraint(["project_id", "feature_id"], ["features.project_id", "features.id"]),
)
"""The file areas of features, by which their paths are compared. A feature without paths has no row."""


class _Events(TypedColumns):
    project_id = Column(Integer, nullable=False)
    id = Column(Integer, primary_key=True)
    feature_id = Column(Integer)
    at = Column(Double, nullable=False)
    agent = Column(String(100), nullable=False)
    kind = Column(String(12), nullable=False)
    from_status = Column(String(12))
    to_status = Column(String(12))
    detail = Column(JSON(none_as_null=True))
    xact = Column(BigInteger, nullable=False, server_default=text("0"))
    token_name = Column(String(60))  # of the access token by which the caller came


events = Table(
    "events",
    metadata,
    _Events,
    ForeignKeyConstraint(["project_id"], ["projects.id"]),
    Index("events_of_feature", "project_id", "feature_id", "id"),
    # For followers. `xact` is the number of the transaction on engines where transactions may commit in another order
    # than they number their events. With one writer at a time it is 0.
    Index("events_in_order", "project_id", "xact", "id"),
)


class _Questions(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    id = Column(Integer, primary_key=True, autoincrement=False)
    asked_by = Column(String(100), nullable=False)
    asked_at = Column(Double, nullable=False)
    answered_by = Column(String(100))
    answered_at = Column(Double)
    questions = Column(JSON, nullable=False)
    answers = Column(JSON(none_as_null=True))


questions = Table(
    "questions",
    metadata,
    _Questions,
    ForeignKeyConstraint(["project_id"], ["projects.id"]),
    _partial("questions_open", "project_id", "id", where="answered_at IS NULL"),
)


class _Waits(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    question_id = Column(Integer, primary_key=True)
    feature_id = Column(Integer, primary_key=True)


waits = Table(
    "waits",
    metadata,
    _Waits,
    ForeignKeyConstraint(["project_id", "question_id"], ["questions.project_id", "questions.id"]),
    ForeignKeyConstraint(
        ["project_id", "feature_id"], ["features.project_id", "features.id"], name="waits_feature_id_fkey"
    ),
    Index("waits_of_feature", "project_id", "feature_id", "question_id"),
)
"""The features that wait for the answer to a question, also after it was closed."""


class _Requests(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    scope = Column(String(100), primary_key=True)
    request_id = Column(String(100), primary_key=True)
    fingerprint = Column(String(64), nullable=False)
    created_at = Column(Double, nullable=False)
    result = Column(JSON, nullable=False)


requests = Table(
    "requests",
    metadata,
    _Requests,
    ForeignKeyConstraint(["project_id"], ["projects.id"]),
    Index("requests_age", "project_id", "created_at"),
)


class _Imports(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    id = Column(String(16), primary_key=True)
    staged_at = Column(Double, nullable=False)
    first_id = Column(Integer)  # of its features, once it is published


imports = Table("imports", metadata, _Imports, ForeignKeyConstraint(["project_id"], ["projects.id"]))
"""Large imports until all their features are there. Any process finishes a published import."""


class _ImportParts(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    import_id = Column(String(16), primary_key=True)
    part = Column(Integer, primary_key=True)
    features = Column(JSON, nullable=False)


import_parts = Table(
    "import_parts",
    metadata,
    _ImportParts,
    ForeignKeyConstraint(["project_id", "import_id"], ["imports.project_id", "imports.id"]),
)
"""The features of large imports that are not added yet. Nothing but the import reads them."""


class _Writers(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    library = Column(String(40), primary_key=True)
    process = Column(String(200), nullable=False)
    seen_at = Column(Double, nullable=False)


writers = Table("writers", metadata, _Writers, ForeignKeyConstraint(["project_id"], ["projects.id"]))
"""The library versions that have written to the project, each with the last process that used it."""


class _Tokens(TypedColumns):
    project_id = Column(Integer, primary_key=True)
    name = Column(String(60), primary_key=True)
    digest = Column(String(64), nullable=False)
    previous_digest = Column(String(64))
    previous_expires_at = Column(Double)
    role = Column(String(10), nullable=False)
    agent = Column(String(100))
    created_at = Column(Double, nullable=False)
    created_by = Column(String(100), nullable=False)
    expires_at = Column(Double)
    revoked_at = Column(Double)
    last_used_at = Column(Double)


tokens = Table(
    "tokens",
    metadata,
    _Tokens,
    CheckConstraint("role IN ('coder', 'tester', 'planner', 'viewer', 'all')", name="role"),
    ForeignKeyConstraint(["project_id"], ["projects.id"]),
    # A copied project brings its access tokens, so a digest may occur in two projects, of which one is frozen.
    Index("tokens_digest", "digest"),
    _partial("tokens_previous_digest", "previous_digest", where="previous_digest IS NOT NULL"),
)
"""The access tokens of the project's clients over HTTP, as SHA-256 digests. After a rotation both may work."""
