"""beads: `.beads/issues.jsonl`, and what `bd export` prints.

Source of the layout: gastownhall/beads, `internal/types` (2026).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import BaseModel, Field

from dibs.transfer.formats.backlog import Backlog, Report, SourceFile
from dibs.transfer.formats.entry import Dependency, Entry
from dibs.transfer.formats.json_text import first_records, records_of
from dibs.transfer.formats.records import (
    ABOUT_THE_FILE,
    AGENTS,
    OWN_TIMES,
    Line,
    Priority,
    Record,
    Steps,
    Text,
    Texts,
    assemble_records,
)
from dibs_schema.status import Status

EPIC: Final = "epic"
MOST_CHILDREN: Final = 20
"""Issues of an epic that it waits for: a feature may have so many dependencies, unless a setting allows more."""
LAST: Final = 5
"""The priority of a deferred issue: after the priorities of beads, which are 0 to 4."""

SKIPPED: Final[Mapping[str, str]] = {
    "tombstone": "an issue that was deleted",
    "pinned": "an issue that is pinned, which is no work",
}


class Link(BaseModel):
    """A link from an issue to another one."""

    other: str = Field(alias="depends_on_id")
    kind: str = Field("blocks", alias="type")


class Comment(BaseModel):
    """A comment on an issue."""

    text: str = ""


class Issue(Record):
    """One issue."""

    STATUSES: ClassVar = {
        **dict.fromkeys(("open", "in_progress", "hooked", "deferred"), Status.PENDING),
        "blocked": Status.STUCK,
        "closed": Status.PASSING,
    }
    LEFT_OUT: ClassVar = {
        **dict.fromkeys(("created_at", "updated_at", "started_at", "closed_at"), OWN_TIMES),
        **dict.fromkeys(("assignee", "owner", "created_by", "sender"), AGENTS),
        **dict.fromkeys(
            ("_type", "content_hash", "source_repo", "compaction_level", "dependency_count", "dependent_count",
             "comment_count", "schema_version"),
            ABOUT_THE_FILE,
        ),
    }  # fmt: skip

    reference: Line = Field(None, alias="id")
    name: Line = Field(None, alias="title")
    description: Text = None
    steps: Steps = Field([], alias="acceptance_criteria")
    notes: Texts = Field([])
    comments: list[Comment] = Field([], description="notes")
    category: Line = Field(None, alias="issue_type")
    priority: Priority = None
    status: Line = "open"
    evidence: Text = Field(None, alias="close_reason")
    links: list[Link] = Field(
        [], alias="dependencies", description="dependencies, and category: the title of the parent"
    )


def recognizes(document: Any) -> bool:
    """Check for an issue with the field `issue_type` among the first records."""
    return any({"id", "title", "issue_type"} <= one.keys() for one in first_records(document))


def read(document: Any, file: SourceFile) -> Backlog:
    """Return the issues in the order of the file. Raises InvalidInput."""
    report = Report()
    issues = [(path, Issue.of(one, path)) for path, one in records_of(document) if _is_issue(one, report)]
    titles = {issue.reference: issue.name for _, issue in issues}
    entries: list[Entry] = []
    for path, issue in issues:
        entry = issue.entry(path, report, file.options)
        _link(entry, issue.links, titles, report)
        for comment in issue.comments:
            entry.notes.append(comment.text)
            report.mapped("comment", "notes")
        if issue.status == "deferred":
            entry.priority = LAST
            report.mapped("status 'deferred'", "priority: last")
        entries.append(entry)
    _let_epics_wait([issue for _, issue in issues], entries, report)
    return assemble_records("beads", entries, report, file.options)


def _is_issue(value: Mapping[str, Any], report: Report) -> bool:
    """Return whether a record is an issue to import; if not, report why."""
    kind = str(value.get("_type", "header" if "_schema" in value else "issue"))
    reason = (
        f"a record of the kind {kind}, which is no issue" if kind != "issue" else SKIPPED.get(str(value.get("status")))
    )
    if reason is None and value.get("pinned") is True:
        reason = SKIPPED["pinned"]
    if reason:
        report.ignored(reason)
    return reason is None


def _let_epics_wait(issues: Sequence[Issue], entries: Sequence[Entry], report: Report) -> None:
    """Let each epic wait for its issues, which contain the work, unless one of them waits for the epic."""
    needs = {entry.reference: [one.reference for one in entry.dependencies] for entry in entries}
    children: dict[str, list[str]] = {}
    for issue in issues:
        for link in issue.links:
            if link.kind == "parent-child" and issue.reference:
                children.setdefault(link.other, []).append(issue.reference)
    for issue, entry in zip(issues, entries, strict=True):
        if issue.category != EPIC or entry.reference is None:
            continue
        free = [one for one in children.get(entry.reference, ()) if not _waits_for(one, entry.reference, needs)]
        new = [one for one in free if one not in needs[entry.reference]]
        room = max(0, MOST_CHILDREN - len(entry.dependencies))
        for child in new[len(new) - min(room, len(new)) :]:
            entry.dependencies.append(Dependency(child, f"{entry.path}.dependencies"))
            needs[entry.reference].append(child)
            report.mapped("issue of an epic", "dependency of the epic")
        if len(new) > room:
            report.ignored(f"{len(new) - room} issues of an epic, which waits for {MOST_CHILDREN}")


def _waits_for(one: str | int | None, other: str, needs: Mapping[str | None, Sequence[str | int]]) -> bool:
    """Return whether an issue waits for another one, directly or not."""
    open_ones, seen = [one], {one}
    while open_ones:
        at = open_ones.pop()
        if at == other:
            return True
        following = needs.get(at if isinstance(at, str) else None, ())
        open_ones += (new := [each for each in following if each not in seen])
        seen.update(new)
    return False


def _link(entry: Entry, links: Iterable[Link], titles: Mapping[str | None, str | None], report: Report) -> None:
    for link in links:
        if link.kind == "blocks" and link.other in titles:
            entry.dependencies.append(Dependency(link.other, f"{entry.path}.dependencies"))
            report.mapped("link 'blocks'", "dependencies")
        elif link.kind == "parent-child" and link.other in titles:
            entry.category = titles[link.other]
            report.mapped("link 'parent-child'", "category: the title of the parent")
        elif link.kind in ("blocks", "parent-child"):
            report.ignored(f"link '{link.kind}' to an issue that is not in the file")
        else:
            report.ignored(f"link '{link.kind}', which no feature waits for")
