"""A project's verify command must succeed before a claimed feature passes; it ends with the call, however that ends."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from dibs.client import Backlog, Client, ServerGone, server_command
from dibs.database import open_database
from dibs.git_tree import git_tree
from dibs.platform.processes import is_running
from dibs.session.allowed_commands import AllowedCommands
from dibs.settings import Settings
from dibs.verbs.update import change
from dibs_schema.refusals import ClaimLost, NotVerified
from listening import listening
from verbs.stage import add, journal, row, rule, take, token_of
from verbs.stage import named as agent

pytestmark = pytest.mark.anyio

PASS, READ = "feature_mark_passing", "feature_get_by_id"


async def until(holds: Callable[[], bool]) -> None:
    """Wait until another process has brought it about."""
    with anyio.fail_after(30):
        while not holds():  # noqa: ASYNC110 - nothing tells this process
            await anyio.sleep(0.02)


class Scene:
    """A database with one server, a git repository in which it works, and the commands that its user has allowed."""

    def __init__(self, db: str, root: Path) -> None:
        self.db = db
        self.backlog = open_database(Settings(db=db))
        self.folder = root / "repository"
        self.folder.mkdir()
        self.environment = {"CLAUDE_PROJECT_DIR": str(self.folder), "XDG_CONFIG_HOME": str(root / "config")}
        self.allowed = AllowedCommands(root / "config" / "dibs" / "verify-commands")
        self.git("init", "--quiet")
        self.write("code.py", "1")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def requires(self, command: str, *, seconds: int = 60, allow: bool = True) -> None:
        """Let the project require a command."""
        rule(self.backlog, verify_command=command, verify_seconds=seconds)
        if allow and command:
            generation = self.backlog.read_now(lambda tx: tx.project.generation)
            self.allowed.allow(generation, command)

    def claimed(self) -> tuple[int, str]:
        """Return a feature and the token of its claim, whose lease outlasts the test."""
        (feature,) = add(self.backlog)
        return feature, token_of(self.backlog, feature)

    def status(self, feature: int) -> str:
        return str(row(self.backlog, feature)["status"])

    def process_of(self, name: str) -> int | None:
        """Return the process that has written its number into a file."""
        with suppress(OSError, ValueError):
            return int((self.folder / name).read_text())
        return None

    async def started(self, name: str) -> int:
        """Wait for the process that writes its number into a file."""
        await until(lambda: self.process_of(name) is not None)
        pid = self.process_of(name)
        assert pid is not None
        return pid

    async def ended(self, pid: int) -> None:
        """Wait for the end of a process that this one did not start."""
        await until(lambda: not is_running(pid))


@pytest.fixture(scope="module")
def scene(
    new_db: Callable[[], AbstractContextManager[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """The module's scene."""
    with new_db() as name:
        made = Scene(name, tmp_path_factory.mktemp("scene"))
        yield made
        made.backlog.close(patience=5)


@pytest.fixture
async def server(scene: Scene) -> AsyncIterator[Client]:
    """A server that works in the scene's folder."""
    for file in scene.folder.iterdir():
        if file.is_file():
            file.unlink()
    scene.write("code.py", "1")
    async with Client.start(server_command("--db", scene.db), scene.environment) as client:
        yield client
    scene.requires("")


async def test_a_command_that_succeeds_is_the_evidence(scene: Scene, server: Client) -> None:
    """The pass has the command, its exit code, its time, the end of its output, and the tree with uncommitted changes."""
    scene.requires("echo all is well; test -f code.py")
    feature, token = scene.claimed()
    answer = await server.call(PASS, feature_id=feature, claim_token=token, evidence="looked at it")
    tree = git_tree(scene.folder, 10)
    assert tree is not None
    verification = answer["verification"]
    assert (verification["exit_code"], verification["tree"], verification["output"]) == (0, tree, "all is well")
    read = await server.call(READ, feature_id=feature)
    assert read["evidence"] == {"summary": "looked at it"}
    assert read["verification"]["command"] == "echo all is well; test -f code.py"
    assert "output" not in read["verification"]
    assert journal(scene.backlog, feature)[-1]["detail"]["verified"].endswith(f"on tree {tree[:12]}")


async def test_evidence_of_another_tree_is_stale(scene: Scene, server: Client) -> None:
    """After a change in the folder the evidence is stale, and no longer after the change is undone."""
    scene.requires("true")
    feature, token = scene.claimed()
    await server.call(PASS, feature_id=feature, claim_token=token)
    assert "evidence_is_stale" not in await server.call(READ, feature_id=feature)
    scene.write("code.py", "2")
    assert (await server.call(READ, feature_id=feature))["evidence_is_stale"] is True
    scene.write("code.py", "1")
    assert "evidence_is_stale" not in await server.call(READ, feature_id=feature)


async def test_nothing_of_the_repository_changes(scene: Scene, server: Client) -> None:
    """To name the tree writes neither objects nor an index into the repository."""
    scene.requires("true")
    before = sorted(str(one) for one in (scene.folder / ".git").rglob("*"))
    feature, token = scene.claimed()
    await server.call(PASS, feature_id=feature, claim_token=token)
    assert sorted(str(one) for one in (scene.folder / ".git").rglob("*")) == before


async def test_a_command_that_changes_files_proves_no_tree(scene: Scene, server: Client) -> None:
    """If the tree is another after the command, the evidence says that and names none."""
    scene.requires("date +%N > built.txt")
    feature, token = scene.claimed()
    verification = (await server.call(PASS, feature_id=feature, claim_token=token))["verification"]
    assert (verification["tree_changed"], "tree" in verification) == (True, False)


async def test_a_command_that_fails_is_a_refusal(scene: Scene, server: Client) -> None:
    """The refusal has the exit status and the cleaned end of the output; the claim stays, and passes when it is mended."""
    scene.requires("printf 'a\\033[31mred\\033[0m\\n'; yes | head -c 200000; echo; echo last; test -f mended")
    feature, token = scene.claimed()
    with pytest.raises(NotVerified) as refused:
        await server.call(PASS, feature_id=feature, claim_token=token)
    details = refused.value.details
    assert (details["exit_code"], details["output"][-4:], len(details["output"])) == (1, "last", 2_000)
    assert "\x1b" not in str(details)
    assert "your claim is kept" in refused.value.message
    assert scene.status(feature) == "in_progress"
    scene.write("mended", "")
    assert (await server.call(PASS, feature_id=feature, claim_token=token))["status"] == "passing"


async def test_a_command_has_no_input_and_leaves_nothing_behind(scene: Scene, server: Client) -> None:
    """A command that reads its input finds its end; a program that it leaves in the background is ended with it."""
    scene.requires("cat; sleep 600 & echo $! > left; echo done")
    feature, token = scene.claimed()
    answer = await server.call(PASS, feature_id=feature, claim_token=token)
    assert answer["verification"]["output"] == "done"
    await scene.ended(await scene.started("left"))


async def test_a_command_has_a_time_limit(scene: Scene, server: Client) -> None:
    """After `verify_seconds` the command and what it started are ended, and the feature does not pass."""
    scene.requires("echo $$ > slow; sleep 600 & sleep 600", seconds=1)
    feature, token = scene.claimed()
    with pytest.raises(NotVerified, match="verify_seconds") as refused:
        await server.call(PASS, feature_id=feature, claim_token=token)
    assert "exit_code" not in refused.value.details
    await scene.ended(await scene.started("slow"))
    assert scene.status(feature) == "in_progress"


async def test_the_client_hears_of_progress(scene: Scene, server: Client) -> None:
    """While the command runs the client receives progress, so that it does not give up."""
    scene.requires("sleep 0.2")
    feature, token = scene.claimed()
    reports: list[Any] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reports.append((total, message))

    await server.session.call_tool(PASS, {"feature_id": feature, "claim_token": token}, progress_callback=report)
    assert reports[0] == (60, "running the project's verify command")


async def test_a_second_pass_meanwhile_is_refused(scene: Scene, server: Client) -> None:
    """While the command runs for a claim, another pass with it says so, and one of both passes."""
    scene.requires("echo $$ > first; until test -f go; do sleep 0.02; done; echo run >> runs")
    feature, token = scene.claimed()
    outcomes: list[dict[str, Any]] = []

    async def first() -> None:
        outcomes.append(await server.call(PASS, feature_id=feature, claim_token=token))

    async with anyio.create_task_group() as calls:
        calls.start_soon(first)
        await scene.started("first")
        with pytest.raises(NotVerified, match="already runs"):
            await server.call(PASS, feature_id=feature, claim_token=token)
        scene.write("go", "")
    assert outcomes[0]["status"] == "passing"
    repeated = await server.call(PASS, feature_id=feature, claim_token=token)
    assert (repeated["status"], (scene.folder / "runs").read_text()) == ("passing", "run\n")


async def test_of_two_servers_one_passes(scene: Scene, server: Client) -> None:
    """Where two servers run the command for one claim, one of them passes; the other says that it was overtaken."""
    scene.requires("echo $$ > at-$$; until test -f go; do sleep 0.02; done")
    feature, token = scene.claimed()
    ended: list[object] = []

    async def mark(client: Client) -> None:
        try:
            ended.append((await client.call(PASS, feature_id=feature, claim_token=token))["status"])
        except NotVerified as refusal:
            ended.append(refusal.message)

    starting = Client.start(server_command("--db", scene.db), scene.environment)
    async with starting as other, anyio.create_task_group() as calls:
        calls.start_soon(mark, server)
        calls.start_soon(mark, other)
        await until(lambda: len(list(scene.folder.glob("at-*"))) == 2)
        scene.write("go", "")
    assert "passing" in ended
    (refused,) = [one for one in ended if one != "passing"]
    assert "Another call with this claim passed" in str(refused)


async def test_a_feature_that_changes_meanwhile_does_not_pass(scene: Scene, server: Client) -> None:
    """The pass is a compare and swap: a changed feature, and a claim that was lost, are refused after the command."""
    waiting = "echo $$ > at; until test -f go; do sleep 0.02; done"

    async def meanwhile(verb: Callable[[int], object]) -> Exception:
        scene.requires(waiting)
        for name in ("at", "go"):
            (scene.folder / name).unlink(missing_ok=True)
        feature, token = scene.claimed()
        caught: list[Exception] = []

        async def mark() -> None:
            with pytest.raises((NotVerified, ClaimLost)) as refused:
                await server.call(PASS, feature_id=feature, claim_token=token)
            caught.append(refused.value)

        async with anyio.create_task_group() as calls:
            calls.start_soon(mark)
            await scene.started("at")
            verb(feature)
            scene.write("go", "")
        assert scene.status(feature) != "passing"
        return caught[0]

    def rewritten(feature: int) -> None:
        scene.backlog.write_now(lambda tx: change(tx, "planner", feature, {"description": "something else"}))

    def taken(feature: int) -> None:
        take(scene.backlog, agent(f"ada-{feature}"), feature, resume=True, force=True)

    assert "was changed while the command ran" in str(await meanwhile(rewritten))
    assert isinstance(await meanwhile(taken), ClaimLost)
    assert "was changed while the command ran" in str(
        await meanwhile(lambda _: rule(scene.backlog, verify_command="true"))
    )


async def test_a_cancelled_call_ends_the_command(scene: Scene, server: Client) -> None:
    """A call that its client cancels ends the command and what it started, and nothing passes."""
    scene.requires("echo $$ > command; sleep 600 & echo $! > child; wait")
    feature, token = scene.claimed()
    async with anyio.create_task_group() as calls:
        calls.start_soon(lambda: server.call(PASS, feature_id=feature, claim_token=token))
        pids = [await scene.started("command"), await scene.started("child")]
        calls.cancel_scope.cancel()
    for pid in pids:
        await scene.ended(pid)
    assert scene.status(feature) == "in_progress"


@pytest.mark.parametrize("how", ["killed", "left"])
async def test_a_lost_server_or_client_ends_the_command(scene: Scene, server: Client, how: str) -> None:
    """If the server is killed, or its client closes the connection, the command ends, and nothing passes."""
    scene.requires("trap '' TERM; echo $$ > command; sleep 600 & echo $! > child; wait")
    feature, token = scene.claimed()

    async def mark(client: Client) -> None:
        with pytest.raises((ServerGone, NotVerified)):
            await client.call(PASS, feature_id=feature, claim_token=token)

    async with Client.start(server_command("--db", scene.db), scene.environment) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(mark, client)
            pids = [await scene.started("command"), await scene.started("child")]
            if how == "killed":
                os.kill(client.process.pid, 9)
            else:
                client.close_input()
        for pid in pids:
            await scene.ended(pid)
    assert scene.status(feature) == "in_progress"


async def test_what_nobody_allowed_here_does_not_run(scene: Scene, server: Client) -> None:
    """A command that came with the database runs only after this machine's user has allowed it."""
    scene.requires("touch ran-$$", allow=False)
    feature, token = scene.claimed()
    with pytest.raises(NotVerified, match="dibs settings verify_command --allow"):
        await server.call(PASS, feature_id=feature, claim_token=token)
    assert not list(scene.folder.glob("ran-*"))
    assert scene.status(feature) == "in_progress"


async def test_over_http_there_is_no_folder(scene: Scene, server: Client) -> None:
    """A server over HTTP runs nothing, since it does not know its caller's folder, and names the way."""
    scene.requires("touch ran")
    feature, token = scene.claimed()
    with listening(scene.db) as served:
        async with Backlog.connect(f"{served.url}") as remote:
            with pytest.raises(NotVerified, match=f"dibs pass {feature}"):
                await remote.mark_passing(feature, token)
    assert not (scene.folder / "ran").exists()


async def test_the_python_client_runs_it_in_its_folder(
    scene: Scene, server: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python client's server has the program's own folder, and a failure keeps the claim."""
    scene.requires("test -f here")
    for name, value in scene.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(scene.folder)
    feature, token = scene.claimed()
    async with Backlog.open(db=scene.db) as program:
        with pytest.raises(NotVerified):
            await program.mark_passing(feature, token)
        scene.write("here", "")
        passed = await program.mark_passing(feature, token)
        assert passed.verification is not None


async def test_a_rule_for_commands_is_met_by_the_command(scene: Scene, server: Client) -> None:
    """`require_evidence command` needs no report of a command that Dibs runs itself; a summary is asked for before."""
    scene.requires("touch ran-once")
    rule(scene.backlog, require_evidence="summary")
    feature, token = scene.claimed()
    try:
        refused = await server.call_raw(PASS, {"feature_id": feature, "claim_token": token})
        assert refused.is_error
        assert not (scene.folder / "ran-once").exists()
        rule(scene.backlog, require_evidence="command")
        assert (await server.call(PASS, feature_id=feature, claim_token=token))["status"] == "passing"
    finally:
        rule(scene.backlog, require_evidence="off")


async def test_other_evidence_keeps_the_verification(scene: Scene, server: Client) -> None:
    """Neither a corrected summary nor a tester's evidence removes what the command proved."""
    scene.requires("true")
    feature, token = scene.claimed()
    await server.call(PASS, feature_id=feature, claim_token=token)
    await server.call(PASS, feature_id=feature, claim_token=token, evidence="corrected")
    assert (await server.call(READ, feature_id=feature)).keys() >= {"verification", "evidence"}
    await server.call(PASS, feature_id=feature, evidence="tested again")
    read = await server.call(READ, feature_id=feature)
    assert (read["evidence"], "verification" in read) == ({"summary": "tested again"}, True)


async def test_without_the_setting_nothing_runs(scene: Scene, server: Client) -> None:
    """A pass of a project without a verify command has no verification."""
    feature, token = scene.claimed()
    assert "verification" not in await server.call(PASS, feature_id=feature, claim_token=token)
