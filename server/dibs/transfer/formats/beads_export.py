"""Exports in the JSON Lines of beads: what beads has no field for goes into the metadata of an issue.

Source of the layout: gastownhall/beads, `internal/types` and `cmd/bd/import_shared.go` (2026), which skips the first record.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from dibs.transfer.formats.beads import Issue
from dibs.transfer.formats.exported import FIELDS, MARK, ExportedFeature, Header
from dibs.transfer.formats.json_export import join_texts, split_texts
from dibs_schema.status import Status

SCHEMA: Final = {"_schema": "beads-jsonl/1"}
PREFIX: Final = "dibs-"
STATUSES: Final[Mapping[Any, str]] = {
    Status.PENDING: "open",
    Status.PASSING: "closed",
    Status.NEEDS_HUMAN: "blocked",
    Status.STUCK: "blocked",
    Status.ARCHIVED: "closed",
}
LEAST_URGENT: Final = 4
_OWN: Final = {"id", "name", "description", "steps", "dependencies", "notes", "passes"}
"""The fields that beads has, too."""


def write_beads(header: Header, features: Iterable[ExportedFeature]) -> Iterator[str]:
    """Yield the text of an `issues.jsonl`."""
    yield _line({**SCHEMA, MARK: header.mark})
    yield from (_line(_issue(one)) for one in features)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _issue(feature: ExportedFeature) -> dict[str, Any]:
    number = f"{PREFIX}{feature['id']}"
    status = STATUSES[feature["status"]]
    created = _time(feature["created_at"])
    closed = _time(feature["passed_at"] or feature["created_at"]) if status == "closed" else None
    reason = "archived" if feature["status"] == Status.ARCHIVED else (feature.get("evidence") or {}).get("summary")
    issue = {
        "id": number,
        "title": feature["name"],
        "description": feature["description"],
        "acceptance_criteria": join_texts(feature["steps"]),
        "notes": join_texts(feature.get("notes", ())),
        "status": status,
        "priority": min(max(feature["priority"], 0), LEAST_URGENT),
        "issue_type": "feature",
        "created_at": created,
        "updated_at": closed or created,
        "closed_at": closed,
        "close_reason": reason if closed else None,
        "labels": [feature["category"]],
        "dependencies": [
            {"issue_id": number, "depends_on_id": f"{PREFIX}{other}", "type": "blocks", "created_at": created}
            for other in feature.get("dependencies", ())
        ],
        "metadata": {MARK: {name: feature[name] for name in FIELDS if name in feature and name not in _OWN}},
    }
    return {name: value for name, value in issue.items() if value not in (None, "", [])}


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def read_issue(issue: Any) -> Any:
    """Return the fields of an exported feature; the status of beads counts where it was changed."""
    if not isinstance(issue, dict):
        return issue
    metadata, links = issue.get("metadata"), issue.get("dependencies")
    own = metadata.get(MARK) if isinstance(metadata, dict) else None
    fields = dict(own) if isinstance(own, dict) else {}
    status = str(issue.get("status"))
    if STATUSES.get(str(fields.get("status"))) != status:
        fields |= {"status": Issue.STATUSES.get(status), "archived_from": None}
    listed = [one.get("depends_on_id") for one in links if isinstance(one, dict)] if isinstance(links, list) else []
    return fields | {
        "id": _number(issue.get("id")),
        "name": issue.get("title"),
        "description": issue.get("description"),
        "steps": split_texts(issue.get("acceptance_criteria", [])),
        "notes": issue.get("notes", ""),
        "dependencies": [_number(one) for one in listed],
        "passes": Status.PASSING in (fields.get("status"), fields.get("archived_from")),
    }


def _number(name: Any) -> Any:
    return name.removeprefix(PREFIX) if isinstance(name, str) else name
