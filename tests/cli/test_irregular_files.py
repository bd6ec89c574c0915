"""A path that does not lead to a regular file is refused for what it is, and nothing is opened, made or changed."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cli.shells import Ended, Shell
from dibs.database import file_driver
from races.servers import serving

pytestmark = [
    pytest.mark.only_on("sqlite", reason="it is about files"),
    pytest.mark.timeout(60, method="thread"),  # a FIFO that is opened blocks for ever
]

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")
READS = (
    "status",
    "list",
    "show 1",
    "get 1",
    "settings",
    "answer",
    "doctor --json",
    "ready",
    "graph",
    "stats",
    "follow",
)
WRITES = ("claim", "add One --category c --description d --step s", "import {import}", "settings order critical_path")
TRANSFERS = ("backup", "copy --to {other} --from", "restore {backup} --to", "restore {backup} --force --to")


def a_fifo(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def a_device(path: Path) -> None:
    """Make another null device."""
    try:
        os.mknod(path, 0o640 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


def a_folder(path: Path) -> None:
    path.mkdir()


def a_loop(path: Path) -> None:
    path.symlink_to(path.with_name("back"))
    path.with_name("back").symlink_to(path)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


KINDS: dict[Callable[[Path], None], str] = {
    a_fifo: "is a FIFO",
    a_socket: "is a socket",
    a_device: "is a device",
    a_folder: "is a folder",
    a_loop: "is a loop of symbolic links",
    a_link_to_nothing: "is a symbolic link to a file that does not exist",
}


def state(folder: Path) -> dict[str, object]:
    """What is in a folder: kinds, modes, times and contents."""
    found: dict[str, object] = {}
    for one in folder.rglob("*"):
        seen = one.lstat()
        content = one.read_bytes() if stat.S_ISREG(seen.st_mode) else b""
        found[str(one)] = (seen.st_mode, seen.st_size, seen.st_mtime_ns, content)
    return found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a folder without a backlog."""
    (tmp_path / "folder" / ".git").mkdir(parents=True)
    return Shell(tmp_path / "folder")


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, Path]:
    """A backup, a file to import, and the path of a new database, outside the shell's folder."""
    shell = Shell(tmp_path)
    assert shell.dibs("add", "One", *NEW, "--db", tmp_path / "made.db").returncode == 0
    assert shell.dibs("backup", tmp_path / "it.backup", "--db", tmp_path / "made.db").returncode == 0
    (tmp_path / "list.json").write_text('[{"name": "One", "description": "It."}]')
    return {"backup": tmp_path / "it.backup", "import": tmp_path / "list.json", "other": tmp_path / "other.db"}


def refused(done: Ended, reason: str) -> None:
    assert done.returncode in (1, 2), (done.returncode, done.stdout)
    assert reason in (done.stderr or done.stdout), done.stderr or done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_no_regular_file_is_left_alone(
    shell: Shell, elsewhere: dict[str, Path], kind: Callable[[Path], None]
) -> None:
    """Every command says what is there, and changes nothing: no mode, no lock, no log."""
    path = shell.folder / "it"
    kind(path)
    before = state(shell.folder)
    for command in (*READS, *WRITES, *TRANSFERS):
        words = command.format(**elsewhere).split()
        words += [str(path)] if words[-1] in ("--to", "--from") else ["--db", str(path)]
        refused(shell.dibs(*words, typed=""), KINDS[kind])
        assert state(shell.folder) == before, command
    assert not elsewhere["other"].exists()


def test_a_server_says_what_its_database_is(shell: Shell) -> None:
    """It answers every call with the reason, opens nothing, and ends cleanly."""
    a_fifo(shell.folder / "it")
    before = state(shell.folder)
    with serving(shell.folder / "it") as start:
        server = start()
        for tool, arguments in (("feature_get_stats", {}), ("feature_claim_and_get", {"wait_seconds": 1})):
            refusal = server.refusal(tool, **arguments)
            assert refusal is not None
            assert "it is a FIFO" in refusal.message
        assert server.finish() == 0
    assert state(shell.folder) == before


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", ".lock"])
def test_a_database_whose_other_files_are_irregular_is_refused(shell: Shell, suffix: str) -> None:
    """A lock or a log that leads elsewhere is not opened, nor written through."""
    db = shell.folder / "it.db"
    for kind in (a_fifo, a_folder, a_loop, a_link_to_nothing):
        path = Path(f"{db}{suffix}")
        kind(path)
        before = state(shell.folder)
        for command in ("status", "add One --category c --description d --step s", "doctor --json"):
            done = shell.dibs(*command.split(), "--db", db)
            assert f"{suffix} is a" in done.stderr + done.stdout, done
            assert done.returncode == 2
            assert state(shell.folder) == before
        path.rmdir() if kind is a_folder else path.unlink()
        path.with_name("back").unlink(missing_ok=True)


def test_a_backlog_without_a_usable_lock_is_read_alone(shell: Shell, tmp_path: Path) -> None:
    """Its lock is a link of the repository: reads need none, and writes are refused before they touch its target."""
    assert shell.dibs("add", "One", *NEW).returncode == 0
    (tmp_path / "target").write_text("mine")
    lock = shell.folder / ".dibs" / "features.db.lock"
    lock.unlink()
    lock.symlink_to(tmp_path / "target")
    assert shell.dibs("status").returncode == 0
    for command in ("claim", "add One --category c --description d --step s", "settings order critical_path"):
        refused(shell.dibs(*command.split()), "features.db.lock is a symbolic link")
    assert ((tmp_path / "target").read_text(), lock.is_symlink()) == ("mine", True)


def test_a_lock_file_that_is_a_link_is_not_written_through(shell: Shell, tmp_path: Path) -> None:
    """A link to an existing file is refused too: the lock is a file of Dibs, next to the database."""
    (tmp_path / "target").write_text("mine")
    (shell.folder / "it.db.lock").symlink_to(tmp_path / "target")
    refused(shell.dibs("add", "One", *NEW, "--db", shell.folder / "it.db"), "it.db.lock is a symbolic link")
    assert not (shell.folder / "it.db").exists()


@pytest.mark.parametrize("mode", ["delete", "wal", "text"])
def test_nothing_is_left_beside_the_file_of_another_program(shell: Shell, mode: str) -> None:
    """Another program's database, or a text, keeps its mode, and gets no lock and no log."""
    path = shell.folder / "theirs"
    if mode == "text":
        path.write_text("their text\n" * 200)
    else:
        with closing(file_driver().connect(str(path))) as connection:
            connection.execute(f"PRAGMA journal_mode = {mode}")
            connection.execute("CREATE TABLE theirs (it)")
    path.chmod(0o644)
    before = state(shell.folder)
    for command in (*READS, *WRITES[:2]):
        refused(shell.dibs(*command.split(), "--db", path), str(path))
        assert state(shell.folder) == before, command


def test_reads_change_nothing_beside_a_backlog(shell: Shell) -> None:
    """No read makes a log, a lock or a project, and an empty file with another mode keeps it."""
    assert shell.dibs("add", "One", *NEW).returncode == 0
    db = shell.folder / ".dibs" / "features.db"
    db.with_name("features.db.lock").unlink()
    db.chmod(0o640)
    before = state(shell.folder)
    for command in READS[:-1]:
        done = shell.dibs(*command.split())
        assert done.returncode == (1 if command.startswith("doctor") else 0), done  # others may read it
        assert state(shell.folder) == before, command
        refused(shell.dibs(*command.split(), "--project", "nobody"), "no project 'nobody'")
        assert state(shell.folder) == before, command
    assert shell.dibs("add", "Two", *NEW).returncode == 0
    assert stat.S_IMODE(db.stat().st_mode) == 0o640


def test_a_read_of_an_older_schema_migrates_nothing(shell: Shell) -> None:
    """The refusal says what migrates it."""
    assert shell.dibs("add", "One", *NEW).returncode == 0
    db = shell.folder / ".dibs" / "features.db"
    with closing(file_driver().connect(str(db))) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0003'")
        connection.commit()
    before = db.read_bytes()
    refused(shell.dibs("status"), "has schema 0003")
    assert db.read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_imported_planned_or_restored_is_a_regular_file(shell: Shell, kind: Callable[[Path], None]) -> None:
    """Nothing waits for a FIFO, and no backlog is made."""
    path = shell.folder / "it"
    kind(path)
    before = state(shell.folder)
    for command in ("import", "plan", "restore"):
        refused(shell.dibs(command, path), KINDS[kind].removeprefix("is "))
        assert state(shell.folder) == before, command


@pytest.mark.parametrize("kind", [one for one in KINDS if one is not a_folder])
def test_a_backup_replaces_no_irregular_file(shell: Shell, kind: Callable[[Path], None]) -> None:
    """Nor with --force."""
    assert shell.dibs("add", "One", *NEW).returncode == 0
    path = shell.folder / "it"
    kind(path)
    before = path.lstat()
    for flags in ((), ("--force",)):
        refused(shell.dibs("backup", path, *flags), KINDS[kind])
    assert path.lstat() == before


def test_a_backup_replaces_a_backup_alone(shell: Shell) -> None:
    """--force leaves texts, foreign databases, empty files, live backlogs and damaged ones as they are."""
    assert shell.dibs("add", "One", *NEW).returncode == 0
    theirs = shell.folder / "theirs"
    with closing(file_driver().connect(str(theirs))) as connection:
        connection.execute("CREATE TABLE theirs (it)")
    assert shell.dibs("add", "One", *NEW, "--db", shell.folder / "live").returncode == 0
    (shell.folder / "damaged").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    (shell.folder / "text").write_text("notes")
    (shell.folder / "empty").touch()
    for name in ("theirs", "live", "damaged", "text", "empty"):
        before = (shell.folder / name).read_bytes()
        refused(shell.dibs("backup", shell.folder / name, "--force"), "Name another file")
        assert (shell.folder / name).read_bytes() == before
    assert shell.dibs("backup", "it.backup").returncode == 0
    refused(shell.dibs("backup", "it.backup"), "--force")
    assert shell.dibs("backup", "it.backup", "--force").returncode == 0


@pytest.mark.parametrize("kind", [one for one in KINDS if one is not a_folder])
def test_a_configuration_that_is_no_regular_file_is_refused(shell: Shell, kind: Callable[[Path], None]) -> None:
    """`dibs init` neither waits for a FIFO nor replaces a device."""
    path = shell.folder / ".mcp.json"
    kind(path)
    before = path.lstat()
    refused(shell.dibs("init", "claude", "--yes"), KINDS[kind])
    assert path.lstat() == before


@pytest.mark.parametrize("kind", [a_fifo, a_device, a_folder, a_loop, a_link_to_nothing])
def test_a_token_file_that_is_no_regular_file_is_ignored(shell: Shell, kind: Callable[[Path], None]) -> None:
    """The tokens of other claims are found, and nothing waits for a FIFO."""
    token_folder = claimed(shell)
    kind(token_folder / f"1-{'0' * 16}")
    (token_folder / f"1-{'1' * 16}").write_bytes(b"\xff\xfe")
    assert shell.dibs("pass", 1, DIBS_AGENT="ada").returncode == 0


def claimed(shell: Shell) -> Path:
    """Claim the only feature as ada, and return the folder of her tokens."""
    assert shell.dibs("add", "One", *NEW).returncode == 0
    assert shell.dibs("claim", DIBS_AGENT="ada").returncode == 0
    (folder,) = (shell.folder / ".dibs" / "tokens").iterdir()
    return folder


@pytest.mark.parametrize("name", ["tokens", "tokens/ada"])
def test_tokens_are_not_written_through_links(shell: Shell, tmp_path: Path, name: str) -> None:
    """A token's folder that a repository has made a link gets no token; the command says so."""
    linked = claimed(shell) if name != "tokens" else claimed(shell).parent
    assert shell.dibs("release", 1, DIBS_AGENT="ada").returncode == 0
    target = linked.rename(tmp_path / "target")
    linked.symlink_to(target)
    before = state(target)
    done = shell.dibs("claim", DIBS_AGENT="ada")
    assert "could not be stored" in done.stderr
    assert state(target) == before


@pytest.mark.parametrize("there", [True, False])
def test_gitignore_is_not_written_through_a_link(shell: Shell, tmp_path: Path, there: bool) -> None:
    """Whether it leads to a file or to nothing."""
    target = tmp_path / "target"
    if there:
        target.write_text("mine")
    (shell.folder / ".dibs").mkdir()
    (shell.folder / ".dibs" / ".gitignore").symlink_to(target)
    assert shell.dibs("add", "One", *NEW).returncode == 0
    assert target.exists() == there
    if there:
        assert target.read_text() == "mine"


def test_a_linked_folder_gets_no_gitignore(shell: Shell, tmp_path: Path) -> None:
    """`.dibs` may be a link to a folder, where git does not look; a link to nothing is refused."""
    (shell.folder / ".dibs").symlink_to(tmp_path / "shared")
    refused(shell.dibs("add", "One", *NEW), ".dibs is a symbolic link to a folder that does not exist")
    (tmp_path / "shared").mkdir()
    assert shell.dibs("add", "One", *NEW).returncode == 0
    names = {one.name for one in (tmp_path / "shared").iterdir()}
    assert ("features.db" in names, ".gitignore" in names) == (True, False)
