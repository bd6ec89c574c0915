"""Every way to write to the staged backlog: by a client, by a command, or by the server itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faults.staging import LONG_LEASE, QUESTION, Staged, in_two, let_expire, let_wait, never_committed

if TYPE_CHECKING:  # the dying processes are forked from a process that has opened no database
    from dibs.database import Database
    from dibs.database.transaction import Transaction

SESSION = "5e5510n-of-the-dying"
KEY = "once-only"
FEATURE = {"category": "core", "name": "new", "description": "what it does", "steps": ["look"]}
FIELDS = [{"id": "colour", "label": "Which colour?"}]


@dataclass(frozen=True, slots=True)
class Move:
    """One way to write: calls of tools over stdio, or a function that runs in the process itself.

    Arguments refer to staged features and tokens by names such as `$claimed`. A move `to_the_end` continues until the
    input has ended. `commits` is the number of its commits that change something. `prepare` changes the staged backlog
    before the move. The move is tested under both claim orders, in a short run only under `order`.
    """

    tools: Sequence[tuple[str, dict[str, Any]]] = ()
    itself: Callable[[Database, Staged], None] | None = None
    command: Sequence[str] = ()
    to_the_end: bool = False
    commits: int = 1
    prepare: Callable[[Database, Staged], None] | None = None
    order: str = "priority"

    def calls(self, staged: Staged) -> list[dict[str, Any]]:
        """Return the requests that a client sends."""
        return [
            {
                "jsonrpc": "2.0",
                "id": number,
                "method": "tools/call",
                "params": {"name": tool, "arguments": _filled(arguments, staged)},
            }
            for number, (tool, arguments) in enumerate(self.tools, 1)
        ]

    def told(self, answers: int) -> int:
        """Return the number of commits that must have been made after this number of answers."""
        return self.commits - self.to_the_end - (max(1, len(self.tools)) - answers) if answers else 0

    def make(self, db: str, staged: Staged) -> None:
        """Run as the process that makes the write: a server, a command, or a server's own task."""
        from dibs.database import open_database
        from dibs.settings import Settings

        settings = Settings(db=db, lease=LONG_LEASE, project="default")
        if self.tools:
            from dibs.mcp.server import DibsServer

            DibsServer(open_database(settings), settings, SESSION).run("stdio")
            return
        if self.command:
            from dibs.cli import commands

            commands.main([*self.command, "--db", db], standalone_mode=False)
        else:
            assert self.itself is not None
            self.itself(open_database(settings), staged)
        os.write(1, b'{"id": 1}\n')


def _filled(given: Any, staged: Staged) -> Any:
    if isinstance(given, dict):
        return {name: _filled(value, staged) for name, value in given.items()}
    if isinstance(given, list):
        return [_filled(value, staged) for value in given]
    return staged[given[1:]] if isinstance(given, str) and given.startswith("$") else given


def _in_connection(what: str) -> Callable[[Database, Staged], None]:
    """Run a write that a server makes by itself when it is due."""

    def do(database: Database, staged: Staged) -> None:
        import anyio

        from dibs.session import lease_keeper
        from dibs.session.issued_tokens import IssuedTokens
        from dibs.settings import Settings

        lease_keeper.RENEWAL_PATIENCE = 20.0  # a second attempt would take other steps

        async def run() -> None:
            tokens = IssuedTokens()
            tokens.remember(staged["claimed"], staged["token"], "ada", "feature_claim_and_get")
            keeper = lease_keeper.LeaseKeeper(database, Settings(lease=LONG_LEASE), SESSION, tokens)
            await getattr(keeper, what)()

        anyio.run(run)

    return do


def _verb(verb: Callable[[Transaction, Staged], object]) -> Callable[[Database, Staged], None]:
    def do(database: Database, staged: Staged) -> None:
        database.write_now(lambda tx: verb(tx, staged))

    return do


def _undeliver(tx: Transaction, staged: Staged) -> None:
    from dibs.verbs.release import undeliver

    undeliver(tx, by="ada", token=staged["token"])


def _answer_claimed(tx: Transaction, staged: Staged) -> object:
    from dibs.verbs.ask_person import answer_claimed
    from verbs.stage import REPLY, REQUEST

    return answer_claimed(tx, "user", staged["claimed"], staged["token"], REQUEST, REPLY)


def _import(tx: Transaction, staged: Staged) -> object:
    from dibs.transfer.importer import import_features
    from verbs.stage import imported

    del staged
    return import_features(tx, [imported("one"), imported("two", dependencies=["one"])])


def _tool(tool: str, /, **arguments: Any) -> Move:
    return Move(tools=[(tool, arguments)])


def _tall(tool: str, /, **arguments: Any) -> Move:
    """Return a move of a tool that changes heights."""
    return Move(tools=[(tool, arguments)], order="critical_path")


def _on_claim(tool: str, /, **arguments: Any) -> Move:
    return _tool(tool, feature_id="$claimed", claim_token="$token", **arguments)


MOVES: dict[str, Move] = {
    "claim the next": _tool("feature_claim_and_get"),
    "claim the next, by key": _tool("feature_claim_and_get", request_id=KEY),
    "claim the next, under a name": _tall("feature_claim_and_get", agent="bob", category="core"),
    "claim by id": _tool("feature_claim_and_get", feature_id="$ready"),
    "claim by id, by key": _tool("feature_claim_and_get", feature_id="$ready", request_id=KEY),
    "claim again what the name holds": _tool("feature_claim_and_get", agent="ada", resume=True),
    "claim in one statement": Move(
        tools=[
            ("feature_add_note", {"feature_id": "$stuck", "text": "first"}),
            ("feature_claim_and_get", {}),
        ],
        commits=2,
    ),
    "claim when a lease has run out": Move(
        tools=[("feature_claim_and_get", {"feature_id": "$ready"})], commits=2, prepare=let_expire
    ),
    "mark in progress": _tool("feature_mark_in_progress", feature_id="$ready"),
    "heartbeat": _on_claim("feature_heartbeat"),
    "heartbeat with a note": _on_claim("feature_heartbeat", note="learned"),
    "clear": _on_claim("feature_clear_in_progress"),
    "clear by force": _tool("feature_clear_in_progress", feature_id="$claimed", force=True),
    "pass": _on_claim("feature_mark_passing", evidence={"summary": "it works"}),
    "verify": _tool("feature_mark_passing", feature_id="$passing"),
    "confirm": Move(tools=[("feature_mark_passing", {"feature_id": "$passing"})], prepare=let_wait),
    "approve": Move(tools=[("feature_approve", {"feature_id": "$passing"})], prepare=let_wait),
    "return": _tool("feature_return", feature_id="$passing", feedback="not yet"),
    "reject": _tool("feature_reject", feature_id="$passing", reason="not needed"),
    "fail an attempt": _on_claim("feature_mark_failing", reason="it broke"),
    "fail a regression": _tool("feature_mark_failing", feature_id="$passing", reason="it broke"),
    "skip a claim": _on_claim("feature_skip", reason="not now"),
    "skip what waits": _tool("feature_skip", feature_id="$ready", reason="not now"),
    "ask": _on_claim("feature_request_human_input", prompt="Please decide.", fields=FIELDS),
    "answer": _tool("feature_answer_human_input", feature_id="$waiting", answers={"colour": "blue"}),
    "cancel": _tool("feature_answer_human_input", feature_id="$waiting", cancel=True),
    "answer a question": _tool("feature_answer_human_input", question_id="$question", answers={"Colour": "a"}),
    "cancel a question": _tool("feature_answer_human_input", question_id="$question", cancel=True),
    "ask the user": _tool("ask_user", questions=[QUESTION]),
    "add a note": _tool("feature_add_note", feature_id="$ready", text="learned"),
    "take for regression": _tool("feature_get_for_regression"),
    "create": _tall("feature_create", **FEATURE, dependencies=["$ready", "$passing"]),
    "create, by key": _tall("feature_create", **FEATURE, request_id=KEY),
    "create many": _tall(
        "feature_create_bulk",
        features=[FEATURE, FEATURE | {"depends_on_indices": [0], "dependencies": ["$ready"]}],
    ),
    "create many, by key": _tall("feature_create_bulk", features=[FEATURE, FEATURE], request_id=KEY),
    "change texts": _tool("feature_update", feature_id="$ready", name="other", priority=3, paths=["src"]),
    "move before": _tool("feature_move", feature_id="$stuck", before="$ready"),
    "move to the front": _tool("feature_move", feature_id="$stuck", to="front"),
    "archive": _tool("feature_update", feature_id="$ready", archived=True),
    "restore": _tool("feature_update", feature_id="$archived", archived=False),
    "retry": _tool("feature_update", feature_id="$stuck", name="other", retry=True),
    "add a dependency": _tall("feature_add_dependency", feature_id="$stuck", dependency_id="$after_ready"),
    "remove a dependency": _tall("feature_remove_dependency", feature_id="$after_both", dependency_id="$after_ready"),
    "set dependencies": _tall(
        "feature_set_dependencies", feature_id="$after_both", dependency_ids=["$ready", "$stuck"]
    ),
    "change a setting": Move(command=["settings", "max_claims", "7"]),
    "keep heights": Move(command=["settings", "order", "critical_path"]),
    "drop heights": Move(command=["settings", "order", "priority"], order="critical_path"),
    "renew": Move(itself=_in_connection("_renew")),
    "expire": Move(itself=_in_connection("_reap"), prepare=let_expire, commits=2),
    "give back what was not delivered": Move(itself=_verb(_undeliver)),
    "answer at once": Move(itself=_verb(_answer_claimed)),
    "import": Move(itself=_verb(_import), order="critical_path"),
    "release at the end of input": Move(
        tools=[("feature_claim_and_get", {"feature_id": "$ready"})], to_the_end=True, commits=2
    ),
}

OPENING = Move(itself=lambda database, _: database.read_now(lambda _: None))
"""The creation of a database by its first use."""


PLANTED: dict[str, Move] = {
    "a move in two transactions": Move(itself=in_two),
    "a move that is answered and not committed": Move(itself=never_committed),
}
"""Planted bugs that must be found."""

ALL = {**MOVES, **PLANTED, "opening": OPENING}
