"""Maps the features of a file, as public projects write them, to features of Dibs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from dibs.transfer.formats import human_input
from dibs.transfer.formats import vocabulary as words
from dibs.transfer.formats.backlog import (
    CATEGORY_LENGTH,
    DESCRIPTION_LENGTH,
    NAME_LENGTH,
    PRIORITY_LIMIT,
    STEP_COUNT,
    STEP_LENGTH,
    Backlog,
    ImportedFeature,
    Report,
    within,
)
from dibs.transfer.formats.fields import FeatureFields, RawFeature, SourceField, any_text, one_line, shown, text
from dibs.transfer.formats.references import check_dependencies, read_dependencies, read_references
from dibs.transfer.formats.status import read_status, settle_blocked
from dibs.transfer.formats.vocabulary import snake
from dibs_schema.file_areas import MOST_PATHS, path_of, paths_of
from dibs_schema.refusals import InvalidInput
from dibs_schema.sanitize import clean
from dibs_schema.status import Status

DEFAULT_CATEGORY: Final = "general"

_WHOLE_NUMBER = re.compile(r"([+-]?\d{1,12})(?:\.0*)?", re.ASCII)
_DIGITS = re.compile(r"[+-]?\d+", re.ASCII)
_MARKUP = re.compile(r"^[\s#>*-]+")
_SENTENCE = re.compile(r".{15,}?[.!?\u3002\uff01\uff1f](?=\s|$)")
_BULLET = re.compile(r"^\s*(?:(?:[-*•]|\d{1,3}[.)])\s+)?(?:\[[ xX]?\]\s*)?")
_STEP_FIELDS = {*words.STEP_TITLES, *words.STEP_TEXTS, *(name for name, _ in words.STEP_PARTS)}


def read(source: str, raw: Sequence[RawFeature], report: Report, *, drop_unknown: bool = False) -> Backlog:
    """Return the features as a backlog; their order in the file is the queue order.

    `drop_unknown` leaves out dependencies on missing features, for formats that may contain them.
    Raises InvalidInput if any feature cannot be imported.
    """
    features = [FeatureFields(one, report) for one in raw]
    references = read_references(features)
    listed = [read_dependencies(one, references) for one in features]
    dependencies = check_dependencies(references, listed, report, drop_unknown=drop_unknown)
    statuses = settle_blocked([read_status(one, report) for one in features], references, dependencies, report)
    priorities = _priorities(features, report)
    imported = []
    for fields, reference, needed, status, priority in zip(
        features, references, dependencies, statuses, priorities, strict=True
    ):
        name, description = _name_and_description(fields, reference, report)
        feature = ImportedFeature(
            path=fields.path,
            reference=reference,
            category=_category(fields, report),
            name=name,
            description=description,
            steps=_steps(fields, report),
            priority=priority,
            status=status.status,
            archived_from=status.archived_from,
            dependencies=needed,
            paths=fields.take("paths", words.PATHS, _paths) or [],
            evidence=fields.take("evidence", words.EVIDENCE, _long_record),
            last_failure=fields.take("last failure", words.FAILURES, _long_record),
        )
        imported.append(_with_human_input(feature, fields, report))
        fields.report_unmapped()
    return report.backlog(source, imported)


def _name_and_description(fields: FeatureFields, reference: str, report: Report) -> tuple[str, str]:
    """Return both. If the file has only one of them, or only an id, the rest is made from it."""
    name = fields.take("name", words.NAMES, lambda field: _limited(field, NAME_LENGTH))
    name = name or fields.take("name", words.SPARE_NAMES, lambda field: _if_short(field, NAME_LENGTH))
    description = fields.take("description", words.DESCRIPTIONS, _long_text)
    details = fields.take("description", words.DETAILS, _long_text)
    if not name and not description and not details:
        name = fields.take("name", ("feature",), lambda field: _if_short(field, NAME_LENGTH))
    if fields.empty:
        raise InvalidInput(f"{fields.path} is empty; a feature has at least a name.", field=fields.path)
    if details:
        both = f"{description}\n\n{details}" if description else details
        description = within(both, DESCRIPTION_LENGTH, f"{fields.path}.{words.DETAILS[0]}")
    if not name:
        name = _headline(description) if description else reference
        report.mapped("description's first sentence" if description else "id", "name")
    if not description:
        report.mapped("name", "description")
    return name, description or name


def _headline(description: str) -> str:
    """Return the first line or sentence, shortened between two words to the length of a name."""
    lines = (_MARKUP.sub("", line).strip() for line in description.split("\n"))
    line = " ".join(next((line for line in lines if line), description).split())
    sentence = _SENTENCE.match(line)
    head = (sentence.group() if sentence else line).rstrip(".") or line
    if len(head) <= NAME_LENGTH:
        return head
    cut = head[: NAME_LENGTH - 1]
    return f"{cut.rpartition(' ')[0] or cut}…"


def _category(fields: FeatureFields, report: Report) -> str:
    """Return the feature's category, else the name of the group around it, else `general`."""
    found = fields.take("category", words.CATEGORIES, lambda field: _limited(field, CATEGORY_LENGTH))
    found = found or fields.take("category", words.SPARE_CATEGORIES, lambda field: _if_short(field, CATEGORY_LENGTH))
    if found:
        return found
    group = one_line(fields.group)
    if group and len(group) <= CATEGORY_LENGTH:
        report.mapped("the group around it", "category")
        return group
    report.mapped("no category", f"'{DEFAULT_CATEGORY}'")
    return DEFAULT_CATEGORY


def _long_text(field: SourceField) -> str | None:
    found = text(field.value)
    return within(found, DESCRIPTION_LENGTH, field.path) if found else None


def _long_record(field: SourceField) -> str | None:
    found = any_text(field)
    return within(found, DESCRIPTION_LENGTH, field.path) if found else None


def _limited(field: SourceField, limit: int) -> str | None:
    found = one_line(field.value)
    return within(found, limit, field.path) if found else None


def _if_short(field: SourceField, limit: int) -> str | None:
    """Return the text of a field that stands in for a missing one, if it is short enough."""
    found = one_line(field.value)
    return found if found and len(found) <= limit else None


def _steps(fields: FeatureFields, report: Report) -> list[str]:
    """Return the steps of all fields that describe verification; repetitions in later fields are left out."""
    found: list[str] = []
    for batch in fields.take_all("steps", words.STEPS, lambda field: _steps_of(field, report)):
        earlier = set(found)
        found.extend(step for step in batch if step not in earlier)
    if len(found) > STEP_COUNT:
        path = f"{fields.path}.steps"
        raise InvalidInput(
            f"{path}: {len(found)} steps, and a feature may have {STEP_COUNT}; split the feature.", field=path
        )
    return found


def _steps_of(field: SourceField, report: Report) -> list[str] | None:
    if isinstance(field.value, list):
        return [
            within(step, STEP_LENGTH, f"{field.path}[{index}]")
            for index, item in enumerate(field.value)
            if (step := _step(item, field.name, report))
        ]
    if isinstance(field.value, str):
        lines = (_BULLET.sub("", line).strip() for line in clean(field.value).split("\n"))
        return [within(line, STEP_LENGTH, field.path) for line in lines if line]
    return None


def _step(item: Any, field: str, report: Report) -> str | None:
    if not isinstance(item, dict):
        step = text(item)
        if step is None and item not in (None, "", [], {}):
            report.ignored(f"an entry of {field} without text")
        return step
    values = {snake(key): found for key, value in item.items() if (found := text(value))}
    texts = {name: found for name, found in values.items() if not found.isdecimal()}
    title = next((texts[name] for name in words.STEP_TITLES if name in texts), None)
    body = next((texts[name] for name in words.STEP_TEXTS if name in texts), None)
    parts = [f"{title}: {body}" if title and body else title or body]
    parts += [form.format(values[name]) for name, form in words.STEP_PARTS if name in values]
    for key, value in item.items():
        if snake(key) not in _STEP_FIELDS and value not in (None, "", [], {}):
            report.ignored(f"{shown(key)} of an entry of {field}")
    return "; ".join(part for part in parts if part) or None


def _priorities(features: Sequence[FeatureFields], report: Report) -> list[int]:
    """Return each feature's priority; without one, medium if the file uses words, else its position."""
    worded = any(snake(str(one.get("priority"))) in words.PRIORITY_WORDS for one in features)
    found = []
    for position, fields in enumerate(features, start=1):
        own = fields.take("priority", ("priority",), lambda field: _priority(field, report))
        if own is None:
            report.mapped("no priority", f"{words.MEDIUM}, medium" if worded else "position in the file")
            own = words.MEDIUM if worded else position
        found.append(own)
    return found


def _priority(field: SourceField, report: Report) -> int | None:
    word = one_line(field.value) or ""
    number = words.PRIORITY_WORDS.get(snake(word))
    if number is not None:
        report.mapped(f"priority '{shown(word)}'", str(number))
        return number
    whole = _WHOLE_NUMBER.fullmatch(word)
    if _DIGITS.fullmatch(word) and (whole is None or abs(int(whole[1])) > PRIORITY_LIMIT):
        raise InvalidInput(f"{field.path} is beyond {PRIORITY_LIMIT:,}; use smaller numbers.", field=field.path)
    if whole is None:
        report.ignored(f"priority '{shown(word)}', which is neither a whole number nor a known word")
        return None
    return int(whole[1])


def _paths(field: SourceField) -> list[str] | None:
    given = field.value if isinstance(field.value, list) else [field.value]
    if not all(isinstance(one, str) for one in given):
        return None
    if len(given) > MOST_PATHS:
        raise InvalidInput(f"{field.path} has more than {MOST_PATHS} entries.", field=field.path)
    try:
        return paths_of([path_of(one) for one in given])
    except ValueError as error:
        raise InvalidInput(f"{field.path}: {error}.", field=field.path) from None


def _with_human_input(feature: ImportedFeature, fields: FeatureFields, report: Report) -> ImportedFeature:
    """Add the request that waits for an answer, or the answer that no agent has read yet."""
    waiting = feature.status is Status.NEEDS_HUMAN
    pending = feature.status is Status.PENDING
    answer = fields.take("answer of a person", words.ANSWERS, human_input.read_answer) if pending else None
    if not waiting and answer is None:
        return feature
    request = fields.take("request to a person", words.REQUESTS, lambda field: human_input.read_request(field, report))
    if waiting and request is None:
        request = human_input.default_request(feature.name)
    return replace(feature, human_request=request, human_answer=answer)
