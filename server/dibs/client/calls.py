"""One call of a tool: its typed answer or its refusal, repeated where that is safe, with the claim's token."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from pydantic import BaseModel, TypeAdapter

from dibs.client.tasks import Tasks
from dibs.client.tools import OF_TOOL
from dibs_schema.answers import Acknowledgement, Answer
from dibs_schema.refusals import Busy, OutcomeUnknown, all_codes

if TYPE_CHECKING:
    from mcp.types import CallToolResult

    from dibs.database import Database

AnswerT = TypeVar("AnswerT", bound=Answer)
OtherT = TypeVar("OtherT", bound=Answer)

PAUSE = (0.1, 0.5)
"""Seconds between two tries of a call, drawn anew each time, so that many clients do not come back at once."""
RETRY_FOR = 60.0
"""Seconds for which a call is repeated, if nobody says otherwise."""

CLOSED = "this backlog is closed: its block has ended"


class ServerGone(Exception):  # noqa: N818 - it is what happened
    """The server ended, or could not be reached, while a call was open; the call may or may not have acted.

    Also of a backlog whose own block has ended.
    """


@dataclass(frozen=True, slots=True)
class Wire:
    """A connection: how a tool is called, and how the journal is opened, where the database is within reach.

    `call` takes a tool's name and arguments, and raises ServerGone. `keeps_claims` says whether the connection
    stands for its holder: its server renews the leases and knows a key's owner without a name.
    """

    call: Callable[[str, dict[str, Any]], Awaitable[CallToolResult]]
    journal: Callable[[], AbstractContextManager[Database]] | None = None
    keeps_claims: bool = True


def content_of(result: CallToolResult) -> dict[str, Any]:
    """The structured content of an answer. Raises the Refusal that it is."""
    content = result.structured_content or {}
    if not result.is_error:
        return content
    if "error" not in content:  # the protocol's library refused what the server sent
        raise RuntimeError(" ".join(getattr(part, "text", "") for part in result.content))
    error = dict(content["error"])
    kind = all_codes()[error.pop("code")]
    error.pop("retryable")
    raise kind(error.pop("message"), **error)


class Calls:
    """Calls tools over a wire, and remembers the token of every claim that it was given.

    `agent` is the name that claims are made under. A call that the database was too `busy` for, or whose
    outcome is unknown, is repeated for `retry_for` seconds; the latter only where that cannot act twice.
    """

    def __init__(self, wire: Wire, *, agent: str | None = None, retry_for: float = RETRY_FOR) -> None:
        self._wire = wire
        self._agent = agent
        self._retry_for = retry_for
        self._tokens: dict[int, str] = {}
        self._tasks = Tasks()

    async def _ask(self, shape: type[AnswerT], tool: str, **arguments: Any) -> AnswerT:
        """Call a tool without the arguments that are None, again as long as that helps. Raises Refusal, ServerGone."""
        return shape.model_validate(await self._content(tool, arguments))

    async def _ask_either(
        self, shape: type[AnswerT], other: type[OtherT], tool: str, **arguments: Any
    ) -> AnswerT | OtherT:
        """The same for a tool that has two kinds of answer."""
        either: TypeAdapter[Any] = TypeAdapter(shape | other)  # type: ignore[arg-type]  # its classes are variables
        answer: AnswerT | OtherT = either.validate_python(await self._content(tool, arguments))
        return answer

    async def _content(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        sent = {name: _plain(value) for name, value in arguments.items() if value is not None}
        ends = time.monotonic() + self._retry_for
        while True:
            try:
                return content_of(await self._wire.call(tool, sent))
            except (Busy, OutcomeUnknown) as refusal:
                again = isinstance(refusal, Busy) or _is_safe_twice(tool, sent)
                if not again or time.monotonic() > ends:
                    raise
            await anyio.sleep(random.uniform(*PAUSE))

    # -- tokens -----------------------------------------------------------------------------------

    async def _move(
        self, tool: str, feature_id: int, claim_token: str | None, **arguments: Any
    ) -> Acknowledgement:
        """Make a move on a feature with the token given, or else the one remembered.

        A token that was lost stays remembered, so that a late call never passes for one about what
        somebody else has done since.
        """
        token = claim_token or self._tokens.get(feature_id)
        done = await self._ask(Acknowledgement, tool, feature_id=feature_id, claim_token=token, **arguments)
        if done.status != "in_progress":
            self._forget(feature_id, token)
        return done

    def _forget(self, feature_id: int, token: str | None = None) -> None:
        if token is None or self._tokens.get(feature_id) == token:
            self._tokens.pop(feature_id, None)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _is_safe_twice(tool: str, sent: dict[str, Any]) -> bool:
    """Whether a call that may have acted can be repeated: by its key, by its token, or by what the tool does."""
    if "note" in sent or sent.get("force"):
        return False
    return OF_TOOL[tool].repeatable or "request_id" in sent or "claim_token" in sent
