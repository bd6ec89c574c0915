"""Idempotency keys: the same request_id with the same arguments takes effect exactly once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import bindparam, delete, insert, select

from dibs.database.compiled import hot
from dibs.database.transaction import Transaction
from dibs.rules.conditions import in_project
from dibs_schema.answers import Answer
from dibs_schema.refusals import RequestReused
from dibs_schema.tables import requests

KEPT = 7 * 86_400
"""Seconds for which a key is stored."""

AnswerT = TypeVar("AnswerT", bound=Answer)
OtherT = TypeVar("OtherT", bound=Answer)
_R = requests.c

_this = in_project(requests) & (_R.scope == bindparam("within")) & (_R.request_id == bindparam("key"))
_find = hot(select(_R.fingerprint, _R.result).where(_this))
_keep = hot(
    insert(requests).values(
        project_id=bindparam("project"),
        scope=bindparam("within"),
        request_id=bindparam("key"),
        fingerprint=bindparam("print"),
        created_at=bindparam("now"),
        result=bindparam("answer", type_=_R.result.type),
    )
)
_forget_one = delete(requests).where(_this)
_forget = hot(delete(requests).where(in_project(requests), _R.created_at < bindparam("now") - KEPT))


@dataclass(frozen=True, slots=True)
class Request:
    """An idempotency key, its scope, and a digest of the call's arguments."""

    scope: str
    key: str
    fingerprint: str

    @classmethod
    def of(cls, key: str | None, tool: str, arguments: Mapping[str, Any], scope: str = "") -> Request | None:
        """Return the key of one call, or None if the caller gave none."""
        if key is None:
            return None
        canonical = json.dumps([tool, arguments], sort_keys=True, default=lambda model: model.model_dump(mode="json"))
        return cls(scope, key, hashlib.sha256(canonical.encode()).hexdigest())


def once(
    tx: Transaction,
    request: Request | None,
    shape: type[AnswerT],
    work: Callable[[], AnswerT | OtherT],
    *,
    replay: Callable[[AnswerT], AnswerT] = lambda answer: answer,
) -> AnswerT | OtherT:
    """Do `work`, or return the answer of the first call with this key, through `replay`. Raises RequestReused.

    An answer of class `shape` is stored in the transaction of the work. Any other answer changed no rows.
    """
    if request is None:
        return work()
    tx.run(_forget)
    row = tx.first(_find, within=request.scope, key=request.key)
    if row is None:
        answer = work()
        if isinstance(answer, shape):
            stored = answer.model_dump(mode="json")
            tx.run(_keep, within=request.scope, key=request.key, print=request.fingerprint, answer=stored)
        return answer
    if row["fingerprint"] != request.fingerprint:
        raise RequestReused(
            f"request_id: an earlier call with other arguments used {request.key!r}. Nothing was changed. "
            "Send a new request_id for a new request.",
            request_id=request.key,
        )
    return replay(shape.model_validate(row["result"]))


def forget(tx: Transaction, request: Request | None) -> None:
    """Delete a key whose work was undone, so that the same call can be made again."""
    if request is not None:
        tx.run(_forget_one, within=request.scope, key=request.key)
