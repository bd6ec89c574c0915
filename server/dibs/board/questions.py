"""The forms by which a person answers agents, and the answers in them.

The name of an input says what it asks for: `text:` or `choice:` and the name of the field, `yes:` for yes or no,
`each:` for any number of choices, `other:` for an answer that is not among the choices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dibs.queries.open_questions import questions_of, requests_of
from dibs_schema.answers import PendingQuestion

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from dibs.database.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Field:
    """One value that a person is asked for.

    `kind` is the beginning of its input's name, or `texts` for a text of several lines. `options` are labels with
    descriptions. If it `is_open`, an answer that is not among the options is possible.
    """

    name: str
    label: str
    kind: str
    required: bool = True
    options: tuple[tuple[str, str], ...] = ()
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """An open question with its form: about the feature `feature`, or the question `number` of `ask_user`."""

    feature: int | None
    number: int | None
    name: str | None
    prompt: str
    asked_by: str | None
    asked_at: datetime
    fields: tuple[Field, ...]
    waiting: tuple[int, ...] = ()
    more_waiting: int = 0

    @property
    def id(self) -> str:
        """The identifier of the form on its page."""
        return f"question-{self.number}" if self.number is not None else f"request-{self.feature}"


def forms_of(tx: Transaction, asked: Iterable[PendingQuestion]) -> list[QuestionForm]:
    """Return the complete forms of open questions, which the overview truncates."""
    listed = list(asked)
    requests = requests_of(tx, [one.id for one in listed if one.id is not None])
    questions = questions_of(tx, [one.question_id for one in listed if one.question_id is not None])
    return [_form(one, requests, questions) for one in listed]


def _form(
    one: PendingQuestion, requests: Mapping[int, dict[str, Any]], questions: Mapping[int, list[dict[str, Any]]]
) -> QuestionForm:
    request = requests.get(one.id or 0, {})
    fields = [_field(field) for field in request.get("fields", ())]
    fields += [_question(question) for question in questions.get(one.question_id or 0, ())]
    return QuestionForm(
        feature=one.id,
        number=one.question_id,
        name=one.name,
        prompt=request.get("prompt", ""),
        asked_by=one.asked_by,
        asked_at=one.asked_at,
        fields=tuple(fields),
        waiting=tuple(one.features),
        more_waiting=one.more_features,
    )


def _field(given: dict[str, Any]) -> Field:
    kinds = {"textarea": "texts", "select": "choice", "boolean": "yes"}
    options = tuple((label, "") for label in given.get("options", ()))
    kind = kinds.get(given.get("type", "text"), "text")
    return Field(given["id"], given["label"], kind, required=given.get("required", True), options=options)


def _question(given: dict[str, Any]) -> Field:
    options = tuple((one["label"], one.get("description") or "") for one in given["options"])
    kind = "each" if given.get("multiSelect") else "choice"
    return Field(given["header"], given["question"], kind, options=options, is_open=True)


def answers_in(form: FormData) -> dict[str, Any]:
    """Return the answers in a form by the names of their fields. Empty ones are left out."""
    answers: dict[str, Any] = {}
    for key, value in form.multi_items():
        kind, _, name = key.partition(":")
        if not isinstance(value, str) or not value.strip():
            continue
        match kind:
            case "text" | "choice":
                answers[name] = value
            case "yes":
                answers[name] = value == "yes"
            case "each":
                answers.setdefault(name, []).append(value)
    for key, value in form.multi_items():
        kind, _, name = key.partition(":")
        if kind == "other" and isinstance(value, str) and value.strip():
            chosen = answers.get(name)
            answers[name] = [*chosen, value] if isinstance(chosen, list) else value
    return answers
