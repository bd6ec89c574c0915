"""A project that moves to a server gets the name that clients look for there, and no server starts a second one untold."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.shells import Shell
from clusters.shared import Server, fresh_database
from dibs.client import SyncBacklog
from dibs_schema.refusals import InvalidInput

NEW = ("--category", "core", "--description", "What it does.", "--step", "Look.")


@pytest.fixture
def shop(tmp_path: Path) -> Shell:
    """A repository with a backlog in its file, in a shell that names no project."""
    (tmp_path / "shop" / ".git").mkdir(parents=True)
    shell = Shell(tmp_path / "shop", {})
    shell.json("add", "One", *NEW)
    return shell


def moved(shop: Shell, url: str, *options: str, cwd: Path | None = None) -> str:
    """Copy the repository's backlog to a server, and return what is printed."""
    done = shop.dibs("copy", "--from", shop.db, "--to", url, *options, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_copy_has_the_name_that_clients_look_for(
    shop: Shell, postgres: Server, tmp_path: Path, *, elsewhere: bool
) -> None:
    """After a move by the docs, a command in the repository finds its features, wherever the copy was made."""
    with fresh_database(postgres) as url:
        said = moved(shop, url, cwd=tmp_path if elsewhere else None)
        assert "DIBS_PROJECT=shop" in said
        assert "In a root folder that is called shop" in said
        assert shop.json("get", 1, DIBS_DB=url)["name"] == "One"
        back = shop.folder.parent / "back.db"
        assert shop.dibs("copy", "--from", url, "--to", back).returncode == 0
        assert shop.json("status", DIBS_DB=str(back))["project"] == "back"


def test_a_restored_backup_has_the_name_that_clients_look_for(shop: Shell, postgres: Server, tmp_path: Path) -> None:
    """A file's backup that is restored to a server serves the repository there, too, and back in a file any."""
    assert shop.dibs("backup", tmp_path / "it.backup").returncode == 0
    with fresh_database(postgres) as url:
        said = shop.dibs("restore", tmp_path / "it.backup", "--to", url)
        assert "DIBS_PROJECT=shop, unless their root folder is called shop" in said.stdout, said.stderr
        assert shop.json("get", 1, DIBS_DB=url)["name"] == "One"
    assert shop.dibs("restore", tmp_path / "it.backup", "--to", tmp_path / "back.db").returncode == 0
    assert shop.json("status", DIBS_DB=str(tmp_path / "back.db"))["project"] == "back"


def test_a_second_repository_moves_to_the_same_server(shop: Shell, postgres: Server, tmp_path: Path) -> None:
    """A copy names its project, so that a server with others takes it."""
    (tmp_path / "bank" / ".git").mkdir(parents=True)
    bank = Shell(tmp_path / "bank", {})
    bank.json("add", "Two", *NEW)
    with fresh_database(postgres) as url:
        moved(shop, url)
        moved(bank, url)
        assert [one.json("get", 1, DIBS_DB=url)["name"] for one in (shop, bank)] == ["One", "Two"]


def test_a_named_copy_keeps_its_name(shop: Shell, postgres: Server) -> None:
    """`--to-project` decides, and a project that was named itself keeps its name."""
    with fresh_database(postgres) as url:
        assert "DIBS_PROJECT=market" in moved(shop, url, "--to-project", "market")
        assert shop.json("get", 1, DIBS_DB=url, DIBS_PROJECT="market")["name"] == "One"


def test_a_project_that_is_not_there_is_named_with_those_that_are(
    shop: Shell, postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a folder of another name, commands and servers make no second project, until they are told to."""
    (tmp_path / "checkout" / ".git").mkdir(parents=True)
    other = Shell(tmp_path / "checkout", {})
    with fresh_database(postgres) as url:
        moved(shop, url)
        for command, status in ((["list"], 1), (["add", "Two", *NEW], 2)):
            done = other.dibs(*command, DIBS_DB=url)
            assert done.returncode == status
            assert "no project 'checkout' at postgresql://" in done.stderr
            assert "but there is 'shop'" in done.stderr
        monkeypatch.delenv("DIBS_PROJECT")
        monkeypatch.chdir(other.folder)
        with SyncBacklog.start(db=url) as server, pytest.raises(InvalidInput, match="but there is 'shop'"):
            server.stats()
        assert other.json("add", "Two", *NEW, DIBS_DB=url, DIBS_PROJECT="checkout")["ids"] == [1]
        assert other.json("get", 1, DIBS_DB=url)["name"] == "Two"
