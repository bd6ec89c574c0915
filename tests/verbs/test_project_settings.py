"""The settings of a project: changed one at a time, checked, and effective from the next transaction on."""

from __future__ import annotations

from typing import Any

import pytest

from dibs.database import Database
from dibs.verbs.project_settings import change_setting, get_settings
from dibs_schema.project_settings import ProjectSettings
from dibs_schema.refusals import InvalidInput
from dibs_schema.status import Kind
from verbs.stage import journal, refused, rule

DEFAULTS = {
    "order": "priority",
    "max_claims": 1,
    "max_claims_per_connection": 16,
    "max_failures": 3,
    "max_same_failures": 3,
    "max_attempts": 10,
    "max_skips": 3,
    "max_dependencies": 20,
    "back_off": 30,
    "require_evidence": "off",
    "verifier": "anyone",
    "rechecks": "optional",
    "instructions": "",
    "done_when": {},
    "verify_command": "",
    "verify_seconds": 300,
}
OTHERS: dict[str, Any] = {
    "order": "critical_path",
    "require_evidence": "command",
    "verifier": "other",
    "rechecks": "required",
    "instructions": "Read docs/style.md first.\nNo new dependencies.",
    "done_when": {"api": "The contract tests pass.", "Übung": "„fertig“"},
    "verify_command": "make test && make lint",
}
"""A valid value for each setting that is not a number."""


def test_a_new_project_has_the_contracts_rules(database: Database) -> None:
    """The defaults are those of the contract."""
    assert database.read_now(get_settings).model_dump() == DEFAULTS
    assert ProjectSettings.model_fields.keys() == DEFAULTS.keys()


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_rule_changes_alone(database: Database, name: str) -> None:
    """One rule changes, the others stay, and one event tells which."""
    value = OTHERS.get(name, 7)
    rule(database, **{name: value})
    assert database.read_now(get_settings).model_dump() == DEFAULTS | {name: value}
    (event,) = journal(database)
    assert (event["kind"], event["feature_id"], event["detail"]) == (
        Kind.UPDATE,
        None,
        {"setting": name, "value": value},
    )


MISFITS: list[tuple[str, Any]] = [
    ("order", "random"),
    ("max_claims", 0),
    ("max_failures", -1),
    ("max_attempts", "many"),
    ("max_skips", 1.5),
    ("max_dependencies", 101),
    ("back_off", 601),
    ("back_off", None),
    ("require_evidence", "proof"),
    ("verifier", True),
    ("rechecks", "never"),
    ("instructions", "x" * 2_001),
    ("instructions", None),
    ("done_when", "when it works"),
    ("done_when", {"api": ""}),
    ("done_when", {"api": "x" * 501}),
    ("done_when", {"c" * 101: "it works"}),
    ("done_when", {str(number): "it works" for number in range(21)}),
    ("verify_command", ["make", "test"]),
    ("verify_seconds", 0),
    ("verify_seconds", 3_601),
]


@pytest.mark.parametrize(("name", "value"), MISFITS)
def test_a_rule_that_does_not_fit_is_refused(database: Database, name: str, value: Any) -> None:
    """A value out of bounds is refused by the rule's name."""
    refusal = refused(database, InvalidInput, lambda tx: change_setting(tx, "planner", name, value))
    assert refusal.details["field"] == name
    assert refusal.message.startswith((f"{name} must be ", f"{name} has more than ", f"{name}."))


def test_an_unknown_rule_is_refused_with_those_there_are(database: Database) -> None:
    """The message lists the settings, so that a misspelled name can be corrected."""
    refusal = refused(database, InvalidInput, lambda tx: change_setting(tx, "planner", "colour", 1))
    assert "colour" in refusal.message
    assert all(name in refusal.message for name in ProjectSettings.model_fields)
