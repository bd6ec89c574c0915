"""The stdio transport, tested with real processes over pipes, sockets, files and terminals."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCResponse

from dibs.mcp.transport import LONGEST_MESSAGE
from dibs.mcp.transport.jsonrpc_streams import MessageWriter, OpenRequests
from dibs.mcp.transport.stdio import GRACE, HURRY
from dibs.platform.signals import ENDING, KILL
from dibs.platform.standard_streams import LineReader, LineWriter
from malformed import MALFORMED
from races.backlog import SLOWER

pytestmark = pytest.mark.timeout(100)

ROOT = Path(__file__).parents[2]
SERVER = [sys.executable, str(Path(__file__).with_name("echo_server.py"))]
SOON = GRACE / 3 * SLOWER  # seconds; a busy machine may need them, and an endless wait would be longer
PATIENT = {"ECHO_HURRY": str(SOON)}  # for what must not depend on how busy the machine is
SIGNALS = list(ENDING)
WITH_SIGNALS = pytest.mark.posix("a process of Windows cannot send another one a signal")
WITH_SOCKETS = pytest.mark.posix("a socket of Windows is no standard stream")
WITHOUT_THREADS = pytest.mark.posix("it is about reading and writing without threads")

Message = dict[str, Any]


class Era:
    """The way in which a client of one protocol era opens a connection and sends requests."""

    def __init__(self, name: str, opening: list[Message], meta: Message) -> None:
        self.name = name
        self.opening = opening
        self.meta = meta

    def request(self, request_id: int | str, method: str, **params: Any) -> Message:
        return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params | self.meta}

    def call(self, request_id: int | str, tool: str, **arguments: Any) -> Message:
        return self.request(request_id, "tools/call", name=tool, arguments=arguments)


CLIENT = {"name": "test", "version": "1"}
LEGACY = Era(
    "2025-06-18",
    [
        {
            "jsonrpc": "2.0",
            "id": "open",
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {"elicitation": {}},
                "clientInfo": CLIENT,
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ],
    {},
)
MODERN = Era(
    "2026-07-28",
    [],
    {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": CLIENT,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
)
both_eras = pytest.mark.parametrize("era", [LEGACY, MODERN], ids=lambda era: era.name)


def cancelled(request_id: int | str) -> Message:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}


def lines(*messages: Message | bytes) -> bytes:
    return b"".join((m if isinstance(m, bytes) else json.dumps(m).encode()) + b"\n" for m in messages)


def said(answer: Message) -> str:
    """Return the text of a tool's answer."""
    text: str = answer["result"]["content"][0]["text"]
    return text


@contextmanager
def spawned(
    settings: dict[str, str] | None = None,
    *,
    stdin: int | IO[bytes] = subprocess.PIPE,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server, and kill it at the end of the block."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join((f"{ROOT / 'server'}", f"{ROOT / 'schema'}"))} | (settings or {})
    env.pop("PYTHONUNBUFFERED", None)  # output that a handler prints must not be lost in a buffer
    with subprocess.Popen(SERVER, env=env, stdin=stdin, stdout=stdout, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.kill()


class Client:
    """A client that writes, reads and waits only on request."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process = process
        self.stdin: IO[bytes] = process.stdin
        self.stdout: IO[bytes] = process.stdout
        self.stderr: IO[bytes] = process.stderr

    def send(self, *messages: Message | bytes) -> None:
        self.stdin.write(lines(*messages))
        self.stdin.flush()

    def receive(self) -> Message:
        answer: Message = json.loads(self.stdout.readline())
        return answer

    def open(self, era: Era = LEGACY) -> "Client":
        self.hear("serving")
        if era.opening:
            self.send(*era.opening)
            assert self.receive()["id"] == "open"
        return self

    def hear(self, text: str) -> None:
        """Wait until the server prints the given text on standard error."""
        for line in self.stderr:
            if line.decode().strip() == text:
                return
        pytest.fail(f"the server ended without saying {text!r}")

    def finish(self, within: float = SOON) -> tuple[list[Message], str]:
        """End the input, and return the remaining answers and standard error. The status must be 0."""
        out, err = self.process.communicate(timeout=within)
        assert self.process.returncode == 0
        return [json.loads(line) for line in out.splitlines()], err.decode()


@contextmanager
def client(settings: dict[str, str] | None = None) -> Iterator[Client]:
    with spawned(settings) as process:
        yield Client(process)


# --- The end of input


@both_eras
@pytest.mark.parametrize("kind", ["pipe", "file", pytest.param("socket", marks=WITH_SOCKETS)])
def test_piped_requests_are_all_answered(era: Era, kind: str, tmp_path: Path) -> None:
    """Requests that came before the end of input are answered, whatever standard input and output are."""
    asked = lines(*era.opening, *(era.call(n, "note", text=str(n)) for n in range(20)))
    if kind == "pipe":
        with spawned() as process:
            out, _ = process.communicate(asked, timeout=SOON)
    elif kind == "file":
        requests, answers = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl"
        requests.write_bytes(asked)
        with (
            requests.open("rb") as stdin,
            answers.open("wb") as stdout,
            spawned(stdin=stdin, stdout=stdout) as process,
        ):
            process.communicate(timeout=SOON)
        out = answers.read_bytes()
    else:
        ours, theirs = socket.socketpair()
        with ours, theirs, spawned(stdin=theirs.fileno(), stdout=theirs.fileno()) as process:
            theirs.close()
            ours.sendall(asked)
            ours.shutdown(socket.SHUT_WR)
            with ours.makefile("rb") as file:
                out = file.read()
            process.communicate(timeout=SOON)
    assert process.returncode == 0
    answers_by_id = {answer["id"]: answer for answer in map(json.loads, out.splitlines())}
    assert out.count(b"\n") == len(answers_by_id) == 20 + bool(era.opening)
    assert [said(answers_by_id[n]) for n in range(20)] == [str(n) for n in range(20)]


@pytest.mark.posix("its shell closes the streams")
@pytest.mark.parametrize("closed", ["<&-", ">&-"])
def test_a_closed_standard_stream_ends_the_server_with_one_line(closed: str, tmp_path: Path) -> None:
    """Nobody can speak with it there: it says so, and opens no backlog."""
    shell = f'exec "$@" {closed}'
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "dibs", "serve", "--db", str(tmp_path / "features.db")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("dibs: Standard input or output is closed")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_empty_input_ends_quietly() -> None:
    """A server whose input is the null device ends with status 0 and without output."""
    with spawned(stdin=subprocess.DEVNULL) as process:
        out, _ = process.communicate(timeout=SOON)
    assert (process.returncode, out) == (0, b"")


def test_a_line_without_newline_at_the_end_counts() -> None:
    """The last request is answered even if its newline is missing."""
    with spawned() as process:
        out, _ = process.communicate(lines(*LEGACY.opening, LEGACY.request(1, "ping")).rstrip(), timeout=SOON)
    assert json.loads(out.splitlines()[1]) == {"jsonrpc": "2.0", "id": 1, "result": {}}


@pytest.mark.posix("its terminal is a pty")
def test_a_terminal_serves_too() -> None:
    """A person can type requests at a terminal and end them with Control-D."""
    import pty

    ours, theirs = pty.openpty()
    try:
        with spawned(stdin=theirs) as process:
            os.write(ours, lines(MODERN.call(1, "note", text="typed")) + b"\x04")
            out, _ = process.communicate(timeout=SOON)
    finally:
        os.close(ours)
        os.close(theirs)
    assert said(json.loads(out.splitlines()[0])) == "typed"


@both_eras
def test_closing_is_set_at_the_end_of_input(era: Era) -> None:
    """A handler that waits for `closing` ends early, and its answer still arrives."""
    with client() as peer:
        peer.open(era).send(era.call(1, "until_closing"))
        answers, _ = peer.finish()
    assert [said(answer) for answer in answers] == ["closing"]


@both_eras
def test_a_cancelled_request_does_not_hold_the_end(era: Era) -> None:
    """The end of input does not wait for a cancelled request, which gets no answer."""
    with client() as peer:
        peer.open(era).send(era.call(1, "nap"))
        peer.hear("napping")
        peer.send(cancelled("1"))
        answers, _ = peer.finish()
    assert answers == []


def test_a_subscription_does_not_hold_the_end() -> None:
    """The end of input does not wait for a subscription."""
    with client() as peer:
        peer.open(MODERN).send(MODERN.request(1, "subscriptions/listen", notifications={"toolsListChanged": True}))
        assert peer.receive()["method"] == "notifications/subscriptions/acknowledged"
        peer.finish()


def test_a_question_reaches_the_client_and_its_answer_the_handler() -> None:
    """A handler can ask the client while its own request is open."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "ask", late=False))
        question = peer.receive()
        content = {"action": "accept", "content": {"text": "fine"}}
        peer.send({"jsonrpc": "2.0", "id": question["id"], "result": content})
        assert said(peer.receive()) == "fine"
        assert peer.finish()[0] == []


@pytest.mark.parametrize("late", [False, True])
def test_a_question_does_not_hold_the_end(late: bool) -> None:
    """A handler that asks the client about something fails at once when the input has ended, and finishes."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "ask", late=late))
        if not late:
            assert peer.receive()["method"] == "elicitation/create"
        answers, _ = peer.finish()
    assert [said(answer) for answer in answers] == ["nobody answered"]


def test_an_id_used_twice_is_answered_twice() -> None:
    """Two open requests with the same id count as two requests, even at the end of input."""
    with client() as peer:
        peer.open().send(*(LEGACY.call(1, "until_closing", linger=linger) for linger in (0, 0.1)))
        answers, _ = peer.finish()
    assert [(answer["id"], said(answer)) for answer in answers] == [(1, "closing")] * 2


def test_the_end_of_input_is_not_held_longer_than_the_grace() -> None:
    """A handler that does not end is cancelled after the grace, and its request answered with an error."""
    with client({"ECHO_GRACE": "0.1"}) as peer:
        peer.open().send(LEGACY.call(1, "nap"))
        peer.hear("napping")
        answers, _ = peer.finish()
    assert [(answer["id"], "error" in answer) for answer in answers] == [(1, True)]


# --- Slow and absent readers


@both_eras
def test_a_slow_reader_delays_nobody_and_gets_whole_messages(era: Era) -> None:
    """Requests are handled while the client does not read, and later output is complete and in order."""
    with client() as peer:
        peer.open(era)
        peer.send(*(era.call(letter, "big", letter=letter, size=5_000_000) for letter in "abc"))
        peer.send(era.call("d", "note", text="alive"))
        peer.hear("alive")
        answers = {answer["id"]: said(answer) for answer in (peer.receive() for _ in "abcd")}
        assert answers == {letter: letter * 5_000_000 for letter in "abc"} | {"d": "alive"}
        assert peer.finish()[0] == []


def test_an_answer_is_complete_although_the_reader_comes_after_the_end_of_input() -> None:
    """The end of input waits until the bytes are read, and not only for the handlers."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "big", letter="x", size=5_000_000))
        peer.stdin.close()
        time.sleep(2 * HURRY)  # such a reader is always slow
        assert said(peer.receive()) == "x" * 5_000_000
        assert peer.process.wait(SOON) == 0


def test_a_handler_cannot_run_ahead_of_a_slow_reader() -> None:
    """A handler that sends more than the pipe can buffer waits until the client reads."""
    with client() as peer:
        flood = LEGACY.call(1, "flood", steps=1000)
        flood["params"]["_meta"] = {"progressToken": 1}
        peer.open().send(flood, LEGACY.call(2, "tell_progress"))
        while not (told := peer.stderr.readline().decode()).startswith("after"):
            assert told
        assert int(told.split()[1]) < 1000
        answers, _ = peer.finish()
    assert [answer["id"] for answer in answers if "id" in answer] == [2, 1]
    assert len(answers) == 1002


def test_a_cancelled_sender_does_not_tear_its_message() -> None:
    """A request that is cancelled while its answer waits for a slow reader leaves no torn line behind."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "big", letter="x", size=5_000_000), LEGACY.call(2, "note", text="2"))
        peer.hear("2")
        peer.send(cancelled(1), LEGACY.call(3, "note", text="3"))
        peer.hear("3")
        answers, _ = peer.finish()
    assert [answer["id"] for answer in answers] == [1, 2, 3]


@WITH_SOCKETS
def test_large_answers_cross_a_socket_to_a_slow_reader() -> None:
    """A socket, as Node gives its children, carries large answers even to a slow reader."""
    ours, theirs = socket.socketpair()
    with ours, theirs, spawned(stdin=theirs.fileno(), stdout=theirs.fileno()) as process:
        theirs.close()
        ours.sendall(lines(*LEGACY.opening, LEGACY.call(1, "big", letter="x", size=5_000_000)))
        ours.sendall(lines(LEGACY.call(2, "note", text="alive")))
        assert process.stderr
        assert b"alive\n" in iter(process.stderr.readline, b"")
        ours.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as file:
            answers = [json.loads(line) for line in file.read().splitlines()]
        assert process.wait(SOON) == 0
    assert [answer["id"] for answer in answers] == ["open", 1, 2]
    assert said(answers[1]) == "x" * 5_000_000


@WITHOUT_THREADS
@pytest.mark.parametrize("blocking", [True, False])
def test_the_descriptors_keep_their_mode(blocking: bool) -> None:
    """The transport works with blocking and non-blocking descriptors, and does not change their mode."""
    stdin, asking = os.pipe()
    answering, stdout = os.pipe()
    os.set_blocking(stdin, blocking)
    os.set_blocking(stdout, blocking)
    with (
        open(asking, "wb") as requests,  # noqa: PTH123 - a descriptor
        open(answering, "rb") as answers,  # noqa: PTH123 - a descriptor
        spawned(stdin=stdin, stdout=stdout) as process,
    ):
        requests.write(lines(*LEGACY.opening, LEGACY.call(1, "big", letter="x", size=5_000_000)))
        requests.flush()
        answers.readline()
        assert said(json.loads(answers.readline())) == "x" * 5_000_000
        assert os.get_blocking(stdin) == os.get_blocking(stdout) == blocking
        os.close(stdin)
        os.close(stdout)
        requests.close()
        assert process.wait(SOON) == 0


def test_a_client_that_closes_its_end_ends_the_server() -> None:
    """If the client closes the output, the server cleans up, waits for no request and exits with status 0."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "nap"))
        peer.hear("napping")
        peer.stdout.close()
        peer.send(LEGACY.request(2, "ping"))
        peer.hear("cleaned")
        assert peer.process.wait(SOON) == 0
        assert b"Traceback" not in peer.stderr.read()


# --- What is not a message


@both_eras
def test_each_malformed_line_gets_its_error_and_the_server_goes_on(era: Era) -> None:
    """Invalid JSON gets -32700, and an invalid message -32600, with the request's id if it has one."""
    bad = [line for line, _, _ in MALFORMED]
    with client() as peer:
        peer.hear("serving")
        peer.send(*bad)  # before the first request ...
        early = [peer.receive() for _ in bad]
        peer.send(*era.opening, era.call("until", "until_closing"), *bad)  # ... and while one is open
        late = [peer.receive() for _ in [*era.opening[:1], *bad]][-len(bad) :]
        last, _ = peer.finish()
    wanted = [(code, request_id) for _, code, request_id in MALFORMED]
    for answers in (early, late):
        assert [(answer["error"]["code"], answer["id"]) for answer in answers] == wanted
    assert [said(answer) for answer in last] == ["closing"]


def test_what_needs_no_answer_gets_none() -> None:
    """Blank lines and unexpected answers are ignored."""
    unasked = {"jsonrpc": "2.0", "id": 99}
    with client() as peer:
        peer.open()
        peer.send(b"", b"  \t", b"\r", unasked | {"result": {}}, unasked | {"error": {"code": 1, "message": ""}})
        peer.send(lines(LEGACY.request(1, "ping")).replace(b"\n", b"\r"))
        answers, _ = peer.finish()
    assert [answer["id"] for answer in answers] == [1]


def test_a_line_of_ten_megabytes_is_a_message_and_one_of_sixty_four_is_not() -> None:
    """Long lines are read whole, up to the limit; longer lines are refused, and the next line is served."""
    text = "ü" * 5_000_000
    with client() as peer:
        peer.open().send(LEGACY.call(1, "length", text=text), json.dumps(text, ensure_ascii=False).encode())
        assert said(peer.receive()) == "5000000"
        assert peer.receive()["error"]["code"] == -32600
        peer.send(b" " * (64 << 20) + b"1", LEGACY.request(2, "ping"))
        refusal, pong = peer.receive(), peer.receive()
    assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
    assert "64 MiB" in refusal["error"]["message"]
    assert pong["id"] == 2


# --- What is printed


def test_what_is_printed_goes_to_standard_error() -> None:
    """Neither a handler nor its child can write to the client, or take its input, by accident."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "shout"))
        assert said(peer.receive()) == "shouted"
        answers, err = peer.finish()
    assert answers == []
    assert {"stray print", "stray write", "stray child 0"} <= set(err.splitlines())


def test_a_child_that_stays_does_not_hold_the_wire_open() -> None:
    """The client sees the end of the server's output even while a child of the server lives on."""
    with spawned(stderr=subprocess.DEVNULL) as process:
        asked = lines(MODERN.call(1, "leave_a_child"))
        out, _ = process.communicate(asked, timeout=SOON)
    os.kill(int(said(json.loads(out.splitlines()[0]))), KILL)


def test_standard_output_is_itself_again_afterwards() -> None:
    """Output after serving goes to standard output, after the last answer."""
    with spawned({"ECHO_AFTER": "goodbye"}) as process:
        out, _ = process.communicate(lines(MODERN.call(1, "shout")), timeout=SOON)
    answer, goodbye = out.splitlines()
    assert (said(json.loads(answer)), goodbye) == ("shouted", b"goodbye")


# --- Signals and failures


@WITH_SIGNALS
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("moment", ["importing", "before initialize", "idle", "napping", "unread"])
def test_a_signal_ends_the_server_promptly_with_status_0(number: signal.Signals, moment: str) -> None:
    """SIGTERM, SIGINT and SIGHUP end the process in any state, with its clean-up done if it had begun to serve."""
    with client() as peer:
        if moment == "importing":
            peer.hear("early")
        elif moment == "before initialize":
            peer.hear("serving")
        else:
            peer.open()
        if moment == "unread":
            peer.send(LEGACY.call(1, "big", letter="x", size=5_000_000))
        if moment in {"napping", "unread"}:
            peer.send(LEGACY.call(2, "nap"))
            peer.hear("napping")
        peer.process.send_signal(number)
        assert peer.process.wait(SOON) == 0
        err = peer.stderr.read().decode()
    assert "Traceback" not in err
    assert "gave up" not in err  # the SDK's message when a last answer was not read for a second
    assert ("cleaned" in err) == (moment != "importing")


@WITH_SIGNALS
def test_a_signal_lets_handlers_finish_that_watch_closing() -> None:
    """After a signal, a handler that waits for `closing` still sends its answer."""
    with client(PATIENT) as peer:
        peer.open().send(LEGACY.call(1, "until_closing"), LEGACY.call(2, "note", text="here"))
        assert peer.receive()["id"] == 2
        peer.process.terminate()
        assert said(peer.receive()) == "closing"
        assert peer.process.wait(SOON) == 0


@WITH_SIGNALS
@pytest.mark.parametrize("kind", ["socket", "terminal"])
def test_waiting_for_input_does_not_block_the_loop(kind: str) -> None:
    """Whatever the input comes from, a signal ends the wait for it."""
    if kind == "socket":
        ours, theirs = (end.detach() for end in socket.socketpair())
    else:
        import pty

        ours, theirs = pty.openpty()
    try:
        with spawned(stdin=theirs) as process:
            os.write(ours, lines(MODERN.call(1, "note", text="here")))
            assert process.stdout
            assert said(json.loads(process.stdout.readline())) == "here"
            process.terminate()
            assert process.wait(SOON) == 0
    finally:
        os.close(ours)
        os.close(theirs)


@WITH_SIGNALS
def test_what_was_sent_before_a_signal_arrives_whole(tmp_path: Path) -> None:
    """After a signal, a client that reads late still gets complete messages, and errors for open requests."""
    hold = tmp_path / "hold"
    hold.touch()
    with client({"ECHO_HURRY": "2", "ECHO_HOLD": str(hold)}) as peer:
        peer.open().send(LEGACY.call(1, "big", letter="x", size=500_000), LEGACY.call(2, "note", text="here"))
        peer.hear("here")
        peer.send(LEGACY.call(3, "nap"))
        peer.hear("napping")
        peer.process.terminate()
        peer.hear("cleaning")
        hold.unlink()
        assert said(peer.receive()) == "x" * 500_000
        assert said(peer.receive()) == "here"
        assert "error" in peer.receive()
        assert peer.process.wait(SOON) == 0


@WITH_SIGNALS
def test_a_signal_after_serving_ends_the_process_with_status_0() -> None:
    """After serving, signals have their earlier meaning again."""
    with client({"ECHO_LINGERS": "1"}) as peer:
        peer.open().stdin.close()
        peer.hear("over")
        peer.process.terminate()
        assert peer.process.wait(SOON) == 0


@WITH_SIGNALS
def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    """Signals during clean-up do not interrupt it."""
    hold = tmp_path / "hold"
    hold.touch()
    with client({"ECHO_HOLD": str(hold)}) as peer:
        peer.open().process.terminate()
        peer.hear("cleaning")
        for number in SIGNALS:
            peer.process.send_signal(number)
        hold.unlink()
        peer.hear("cleaned")
        assert peer.process.wait(SOON) == 0


@WITH_SIGNALS
def test_a_signal_shortens_the_grace() -> None:
    """A signal that comes while the end of input waits for a handler ends that wait."""
    with client() as peer:
        peer.open().send(LEGACY.call(1, "nap"), LEGACY.call(2, "until_closing"))
        peer.hear("napping")
        peer.stdin.close()
        assert peer.receive()["id"] == 2
        peer.process.terminate()
        assert peer.process.wait(SOON) == 0


def test_what_the_lifespan_raises_arrives_as_it_was_raised() -> None:
    """A refusal to start reaches the caller without an exception group."""
    with spawned({"ECHO_FAILS": "1"}) as process:
        out, _ = process.communicate(timeout=SOON)
    assert (process.returncode, out) == (3, b"")


# --- The parts, where a process cannot show it


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


@WITHOUT_THREADS
def test_a_reader_leaves_in_the_pipe_what_nobody_takes(pipe: tuple[int, int]) -> None:
    """A client that sends faster than its messages are taken is held up by the pipe; memory does not grow."""
    source, sink = pipe
    os.set_blocking(sink, False)

    def fill() -> None:
        with suppress(BlockingIOError):
            while True:
                os.write(sink, b"x\n" * 2048)

    async def take_one_and_fill_again() -> None:
        with closing(LineReader(source, LONGEST_MESSAGE)) as reader:
            fill()
            assert await reader.take() == b"x"
            fill()
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            with pytest.raises(BlockingIOError):
                os.write(sink, b"x\n" * 2048)

    anyio.run(take_one_and_fill_again)


@WITHOUT_THREADS
def test_a_closed_reader_gives_no_more_lines(tmp_path: Path) -> None:
    """A file that is closed while its next line is awaited ends there."""
    path = tmp_path / "requests.jsonl"
    path.write_bytes(b"1\n")

    async def close_while_taking(source: int) -> None:
        reader = LineReader(source, LONGEST_MESSAGE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_nothing, reader)
            await anyio.lowlevel.checkpoint()
            reader.close()

    async def take_nothing(reader: LineReader) -> None:
        with pytest.raises(anyio.EndOfStream):
            await reader.take()

    with path.open("rb") as file:
        anyio.run(close_while_taking, file.fileno())


@WITHOUT_THREADS
def test_sending_to_a_client_that_has_gone_raises(pipe: tuple[int, int]) -> None:
    """A sender gets an error after the reader has closed, and again at the next attempt."""
    source, sink = pipe
    os.close(source)
    pong = SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=1, result={}))

    async def send_twice() -> None:
        writer = MessageWriter(LineWriter(sink), OpenRequests(), anyio.Event())
        for _ in range(2):
            with pytest.raises(anyio.BrokenResourceError):
                await writer.send(pong)

    anyio.run(send_twice)


# --- Two threads, as on Windows

THREADS = {"ECHO_THREADS": "1"}


@both_eras
def test_two_threads_answer_all_piped_requests_and_what_is_no_request(era: Era) -> None:
    """Every request that came before the end of input is answered, and so is a line that is not JSON, each with \\n."""
    asked = lines(*era.opening, b"no JSON", *(era.call(n, "note", text=str(n)) for n in range(20)))
    with spawned(THREADS) as process:
        out, _ = process.communicate(asked, timeout=SOON)
    assert process.returncode == 0
    answers = [json.loads(line) for line in out.splitlines()]
    texts = {answer["id"]: said(answer) for answer in answers if isinstance(answer.get("id"), int)}
    assert texts == {n: str(n) for n in range(20)}
    assert [answer["error"]["code"] for answer in answers if "error" in answer] == [-32700]
    assert b"\r" not in out


def test_two_threads_write_to_a_slow_client_and_read_a_long_line() -> None:
    """What does not fit into a pipe arrives whole, in both directions."""
    size = 3_000_000
    with client(THREADS) as peer:
        peer.open().send(LEGACY.call(1, "big", letter="x", size=size))
        time.sleep(0.2)  # the pipe is full
        assert len(said(peer.receive())) == size
        peer.send(LEGACY.call(2, "length", text="y" * size))
        assert said(peer.receive()) == str(size)
        assert peer.finish()[0] == []


@WITH_SIGNALS
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_server_whose_thread_waits_for_input(number: signal.Signals) -> None:
    """The clean-up runs and the status is 0, though nobody ends the read."""
    with client(THREADS) as peer:
        peer.open()
        peer.process.send_signal(number)
        peer.hear("cleaned")
        assert peer.process.wait(SOON) == 0


def test_two_threads_notice_that_the_client_has_gone() -> None:
    """A client that no longer reads ends the server."""
    with client(THREADS) as peer:
        peer.open()
        peer.stdout.close()
        peer.send(*(LEGACY.request(n, "ping") for n in range(3)))
        assert peer.process.wait(SOON) == 0
