"""The board serves one browser, from its own pages: whatever else asks is refused, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from board.people import Person, board_on
from dibs.board.known_browser import LONGEST, KnownBrowser, last_port
from dibs.database import Database, open_database
from dibs.queries.get import get_by_id
from dibs.settings import Settings
from dibs_schema.status import Status
from verbs.stage import add, place

pytestmark = pytest.mark.only_on("sqlite", reason="whoever asks is refused before the database is read")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def test_a_browser_without_the_cookie_is_refused(person: Person) -> None:
    """Every path is closed without the cookie, and with another one, and the answer says what to do."""
    with Person(person.board) as stranger:
        for path in ("/", "/board", "/live?page=/", "/static/board.js", "/nowhere"):
            refused = stranger.get(path)
            assert (refused.status_code, "closed to this browser" in refused.text) == (403, True), path
        foreign = {"cookie": f"dibs-board-{person.board.port}=AAAA"}
        assert stranger.get("/", headers=foreign).status_code == 403
        assert "run it again" in stranger.get("/").text


def test_a_key_is_exchanged_once(person: Person) -> None:
    """The key that the browser has exchanged opens nothing to another, nor does a wrong key."""
    with Person(person.board) as other:
        replayed = other.get(person.board.url)
        assert (replayed.status_code, "has been used" in replayed.text) == (403, True)
        assert other.get("/?key=wrong").status_code == 403
        assert not other.cookies
    assert person.get(person.board.url).status_code == 200


def test_the_cookie_is_closed_to_scripts_and_other_sites(board_db: str) -> None:
    """It is HttpOnly and SameSite=Strict, and its name has the port, since browsers send it to every port."""
    with board_on(board_db) as board, Person(board) as browser:
        cookie = browser.get(board.url).headers["set-cookie"]
        name, *rest = [part.strip().lower() for part in cookie.split(";")]
        assert name.startswith(f"dibs-board-{board.port}=")
        assert {"httponly", "samesite=strict", "path=/", f"max-age={LONGEST:.0f}"} <= set(rest)


def _backlog(file: Path) -> str:
    with closing(open_database(Settings(db=str(file)))) as made:
        add(made)
    return str(file)


def test_a_board_that_starts_again_knows_its_browser(tmp_path: Path) -> None:
    """With the same role, until another browser has come with the new key. The file has no cookie."""
    db = _backlog(tmp_path / ".dibs" / "features.db")
    with board_on(db) as board, Person(board) as person:
        person.enter()
        port, (cookie,) = board.port, person.cookies.values()
        own = {"cookie": f"dibs-board-{port}={cookie}"}
    (file,) = (tmp_path / ".dibs" / "board").iterdir()
    assert (cookie in file.read_text(), file.stat().st_mode & 0o777) == (False, 0o600)
    with board_on(db, "--read-only", port=port) as again, Person(again) as same:
        assert same.get("/", headers=own).status_code == 403
    with board_on(db, port=port) as again, Person(again) as same, Person(again) as other:
        assert same.get("/", headers=own).status_code == 200
        other.enter()
        assert same.get("/", headers=own).status_code == 403


def test_a_stored_browser_is_known_at_its_port_for_a_week(tmp_path: Path) -> None:
    """A file of another port, an old one, one of the future and a spoilt one let nobody in, and stop no board."""
    file = tmp_path / ".dibs" / "board" / "one.json"
    cookie = KnownBrowser(file, 4_000).admit()
    assert KnownBrowser(file, 4_000).has(cookie)
    assert not KnownBrowser(file, 4_001).has(cookie)
    assert not KnownBrowser(None, 4_000).has(cookie)
    for nothing in ("", "x", "\udcff"):
        assert not KnownBrowser(None, 4_000).has(nothing)
    stored = json.loads(file.read_text())
    for at in (stored["at"] - LONGEST, stored["at"] + 60.0):
        file.write_text(json.dumps(stored | {"at": at}))
        assert not KnownBrowser(file, 4_000).has(cookie)
    for spoilt in ("[]", "{", '{"port": 1}', "", json.dumps(stored | {"digest": 1})):
        file.write_text(spoilt)
        assert not KnownBrowser(file, 4_000).has(cookie)
        assert last_port(file) == 0
    file.unlink()
    file.parent.rmdir()
    file.parent.symlink_to(tmp_path)
    assert KnownBrowser(file, 4_000).admit()
    assert not file.exists()


@pytest.mark.posix("files have a mode and an owner")
def test_a_stored_browser_that_others_may_have_written_is_not_known(tmp_path: Path) -> None:
    """A repository could bring the file; the next browser that enters by the key makes folder and file private."""
    file = tmp_path / ".dibs" / "board" / "one.json"
    file.parent.mkdir(parents=True, mode=0o755)
    file.parent.chmod(0o755)
    stranger = "a stranger's cookie"
    digest = hashlib.sha256(stranger.encode()).hexdigest()
    file.write_text(json.dumps({"port": 4_000, "digest": digest, "at": time.time()}))
    for folder_mode, mode in ((0o755, 0o644), (0o700, 0o644), (0o700, 0o602), (0o770, 0o600)):
        file.parent.chmod(folder_mode)
        file.chmod(mode)
        assert not KnownBrowser(file, 4_000).has(stranger)
        assert last_port(file) == 0
    cookie = KnownBrowser(file, 4_000).admit()
    assert [one.stat().st_mode & 0o777 for one in (file.parent, file)] == [0o700, 0o600]
    assert KnownBrowser(file, 4_000).has(cookie)


@pytest.mark.posix("files have a mode and an owner")
@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_stored_browser_of_another_user_is_not_known(tmp_path: Path, place: str) -> None:
    """Even if nobody else may read or write it: who owns it can have written it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    file = tmp_path / ".dibs" / "board" / "one.json"
    cookie = KnownBrowser(file, 4_000).admit()
    os.chown(file if place == "file" else file.parent, 12_345, -1)
    assert not KnownBrowser(file, 4_000).has(cookie)


def test_a_board_returns_to_its_port(tmp_path: Path) -> None:
    """Without --port it takes the one where pages may be open, and another if that is taken."""
    db = _backlog(tmp_path / "features.db")
    with board_on(db, port=None) as first, Person(first) as person:
        person.enter()
        with board_on(db, port=None) as beside:
            assert beside.port != first.port
    with board_on(db, port=None) as again, Person(again, cookies=person.cookies) as same:
        assert (again.port, same.get("/").status_code) == (first.port, 200)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", ""])
def test_another_host_is_refused(person: Person, host: str) -> None:
    """A name that leads to this machine is not the board's: a page of that name must not read it."""
    assert person.get("/", headers={"host": host}).status_code in {400, 403}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_has_three_names(person: Person, host: str) -> None:
    """The board answers to each name of this machine with its port."""
    assert person.get("/", headers={"host": f"{host}:{person.board.port}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
    ],
    ids=lambda headers: "-".join(map("=".join, headers.items())),
)
def test_a_form_of_another_site_changes_nothing(person: Person, database: Database, headers: dict[str, str]) -> None:
    """A POST needs the board's own Origin, and Sec-Fetch-Site must say the same where a browser sends it."""
    stuck = place(database, Status.STUCK).id
    assert person.act("retry", headers, feature=stuck).status_code == 403
    assert database.read_now(lambda tx: get_by_id(tx, stuck)).status == "stuck"


def test_a_form_without_the_cookie_changes_nothing(person: Person, database: Database) -> None:
    """The Origin alone opens nothing: any program of this machine can write it."""
    stuck = place(database, Status.STUCK).id
    with Person(person.board) as stranger:
        assert stranger.act("retry", feature=stuck).status_code == 403
    assert database.read_now(lambda tx: get_by_id(tx, stuck)).status == "stuck"


def test_a_form_that_is_too_large_is_refused(person: Person) -> None:
    """It is refused by its length, and nothing of it is read."""
    assert person.act("preview", back="/add", list="x" * (5 << 20)).status_code == 413


def test_every_answer_has_the_policy(person: Person) -> None:
    """Pages, refusals, static files and errors: each forbids foreign code, frames and other content types."""
    for path in ("/", "/board", "/nowhere", "/static/board.css", "/static/../app.py", "/board?state=none", "/?key=x"):
        headers = person.get(path).headers
        assert headers["content-security-policy"] == POLICY, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path


def test_a_board_that_only_shows_changes_nothing(board_db: str, database: Database) -> None:
    """With --read-only there are no forms, and a form that is sent all the same is refused."""
    stuck = place(database, Status.STUCK).id
    with board_on(board_db, "--read-only") as board, Person(board) as person:
        person.enter()
        for path in ("/", "/board", "/add"):
            assert 'method="post"' not in person.get(path).text, path
        for action in ("retry", "import"):
            refused = person.act(action, feature=stuck, list="[]")
            assert (refused.status_code, "role viewer" in refused.text) == (403, True), action
    assert database.read_now(lambda tx: get_by_id(tx, stuck)).status == "stuck"
