"""The log of a server: one line per record, without tokens, whole session ids and floods."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from dibs.mcp.log_lines import MOST_ALIKE, LineHandler
from dibs.rules.claimant import new_token
from listening import STATEFUL, STATELESS, Caller, listening

LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) [\w.]+: .")


@pytest.fixture
def log() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger with the server's handler, and what it has written."""
    written = io.StringIO()
    handler = LineHandler()
    handler.setStream(written)
    logger = logging.getLogger("dibs.test")
    logger.propagate = False
    logger.setLevel("INFO")
    logger.addHandler(handler)
    yield logger, written
    logger.removeHandler(handler)


def test_a_record_is_one_line_whatever_is_in_it(log: tuple[logging.Logger, io.StringIO]) -> None:
    """Line breaks and control characters of texts and tracebacks are escapes."""
    logger, written = log
    try:
        int("two\nlines\u2028and \x1b[31mred")
    except ValueError:
        logger.exception("it failed:\r\n%s", "a\x00b")
    (line,) = written.getvalue().splitlines()
    assert LINE.match(line), line
    assert "it failed:\\r\\na\\x00b\\nTraceback" in line
    assert "ValueError: invalid literal" in line


def test_tokens_and_session_ids_are_cut(log: tuple[logging.Logger, io.StringIO]) -> None:
    """No token is written, in whatever form it comes; ordinary words stay."""
    logger, written = log
    tokens = [new_token() for _ in range(200)]
    for token in tokens:
        logger.info('got {"claim":{"token":"%s"}} token=%s %r', token, token, {"claim_token": token})
    logger.info("session %s: subscriptions, notifications, initialization", "0123456789abcdef" * 2)
    said = written.getvalue()
    assert not any(token in said for token in tokens)
    assert "session 01234567…: subscriptions, notifications, initialization" in said


def test_a_flood_of_warnings_is_cut(log: tuple[logging.Logger, io.StringIO]) -> None:
    """The first ones of each kind are logged, the last of these says so, and other kinds are not affected."""
    logger, written = log
    for number in range(1_000):
        logger.warning("refused: %d", number)
    logger.error("something else")
    said = written.getvalue().splitlines()
    assert len(said) in (MOST_ALIKE + 1, 2 * MOST_ALIKE + 1)  # a minute may have ended meanwhile
    assert "no more of these" in said[MOST_ALIKE - 1]
    assert said[-1].endswith("something else")


def test_a_log_that_cannot_be_written_stops_nothing(log: tuple[logging.Logger, io.StringIO]) -> None:
    """A closed standard error raises nothing, and prints nothing elsewhere."""
    logger, written = log
    written.close()
    logger.error("lost")


@pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
def test_a_server_that_logs_all_writes_lines_without_secrets(db: str, revision: str) -> None:
    """At the level DEBUG each line of a real server is a record, and none has a token or a session id."""
    with listening(db, "--log", "DEBUG") as server, closing(Caller(server.url, revision)) as caller:
        new = {"category": "c", "name": "n", "description": "a\nb", "steps": ["s"]}
        number = caller.call("feature_create", **new)["ids"][0]
        token = caller.call("feature_claim_and_get")["claim"]["token"]
        caller.call("feature_heartbeat", feature_id=number, claim_token=token, note="so far")
        assert caller.call("feature_mark_passing", feature_id=number, claim_token=token)["status"] == "passing"
        assert server.end() == 0
        said = server.said()
    assert token not in said
    assert "[token]" in said or revision == STATELESS, "nothing was logged that a token could be in"
    assert caller.session is None or caller.session not in said
    assert [line for line in said.splitlines() if not LINE.match(line)] == [f"dibs: serving {server.url}"]
