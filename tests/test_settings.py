"""The settings of a process are read once, and an error names the wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dibs.settings import Settings, is_url
from dibs_schema.refusals import InvalidInput

URL = "postgresql://db.example.com/dibs"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a repository, and change to a folder below its root."""
    below = tmp_path / "shop" / "src"
    below.mkdir(parents=True)
    (tmp_path / "shop" / ".git").mkdir()
    monkeypatch.chdir(below)
    return below


@pytest.mark.usefixtures("checkout")
def test_on_a_server_a_project_is_named_after_the_repository() -> None:
    """Without a name, a server's project is named for the repository, and a file's is `default`."""
    assert Settings.read({"db": URL}, {}).project == "shop"
    assert Settings.read({}, {"DIBS_DB": URL}).project == "shop"
    assert Settings.read({"db": "a.db"}, {}).project == "default"


@pytest.mark.usefixtures("checkout")
def test_a_project_that_is_named_is_served() -> None:
    """An option overrides the environment, which overrides the default."""
    assert Settings.read({"db": URL, "project": "till"}, {"DIBS_PROJECT": "bar"}).project == "till"
    assert Settings.read({"db": URL}, {"DIBS_PROJECT": "bar"}).project == "bar"


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({"DIBS_LEES": "3"}, "DIBS_LEES"),
        ({"DIBS_LEASE": "soon"}, "DIBS_LEASE"),
        ({"DIBS_LEASE": "-1"}, "DIBS_LEASE"),
        ({"DIBS_ROLE": "king"}, "DIBS_ROLE"),
    ],
)
def test_a_mistake_is_named(environment: dict[str, str], named: str) -> None:
    """An unknown variable and a value that does not fit are errors that name the variable."""
    with pytest.raises(InvalidInput) as refused:
        Settings.read({}, environment)
    assert refused.value.details["field"] == named
    assert named in refused.value.message


def test_a_name_of_blanks_is_called_empty() -> None:
    """A list in an environment variable stays a string."""
    with pytest.raises(InvalidInput, match="DIBS_AGENT=' ': must not be empty"):
        Settings.read({}, {"DIBS_AGENT": " "})


@pytest.mark.parametrize("variable", ["DIBS_TOKEN", "DIBS_CLAIM"])
def test_a_token_is_in_no_message(variable: str) -> None:
    """A token that is pasted with more around it is refused by the variable's name alone."""
    with pytest.raises(InvalidInput) as refused:
        Settings.read({}, {variable: '{"claim":{"token":"0123456789abc"}}'})
    assert refused.value.details["field"] == variable
    assert "0123456789abc" not in refused.value.message


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("postgresql://host/db", True),
        ("C://work/features.db", False),
        (r"C:\work\features.db", False),
        ("a/b.db", False),
    ],
)
def test_a_drive_of_windows_is_no_scheme_of_a_url(database: str, expected: bool) -> None:
    """`C://` begins a path that some shells write; every scheme has more letters."""
    assert is_url(database) is expected


def test_what_dibs_tells_its_commands_is_no_setting() -> None:
    """A command of `dibs work` or `dibs follow --run` may run `dibs`; a misspelt setting is still refused."""
    given = {"DIBS_FEATURE_ID": "1", "DIBS_BRANCH": "dibs/1", "DIBS_TRAILER": "Dibs: 1", "DIBS_EVENT_ON": "ask"}
    assert Settings.read({}, given) == Settings.read({}, {})
    with pytest.raises(InvalidInput, match="DIBS_AGNET is not a setting"):
        Settings.read({}, {"DIBS_AGNET": "ada"})
