"""The forms in which a client asks its user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dibs_schema.inputs import HumanField, Question

Schema = dict[str, Any]


def field_schema(fields: Sequence[HumanField]) -> Schema:
    """The form for a feature's request."""
    return {
        "type": "object",
        "properties": {field.id: _property(field) for field in fields},
        "required": [field.id for field in fields if field.required],
    }


def _property(field: HumanField) -> Schema:
    if field.type == "boolean":
        return {"type": "boolean", "title": field.label}
    if field.type == "select":
        return {"type": "string", "title": field.label, "enum": field.options}
    return {"type": "string", "title": field.label}


def question_schema(questions: Sequence[Question]) -> Schema:
    """The form for questions to the user; several choices are typed with commas between them."""
    return {
        "type": "object",
        "properties": {question.header: _choice(question) for question in questions},
        "required": [question.header for question in questions],
    }


def _choice(question: Question) -> Schema:
    labels = [option.label for option in question.options]
    described = [f"{option.label}: {option.description}" for option in question.options if option.description]
    words = " ".join([question.question, *described])
    if question.multiSelect:
        return {
            "type": "string",
            "title": question.header,
            "description": f"{words} (some of: {', '.join(labels)})",
        }
    return {"type": "string", "title": question.header, "description": words, "enum": labels}


def split_choices(questions: Sequence[Question], content: dict[str, Any]) -> dict[str, Any]:
    """The form's content as answers: several choices typed with commas become a list."""
    several = {question.header for question in questions if question.multiSelect}
    return {
        name: [part.strip() for part in value.split(",") if part.strip()]
        if name in several and isinstance(value, str)
        else value
        for name, value in content.items()
        if value is not None
    }
