"""`dibs import` says what it does, and does no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dibs.cli import commands

LISTED: list[dict[str, Any]] = [
    {"id": "1", "name": "First", "status": "done"},
    {"id": "2", "name": "Second", "dependencies": ["1"]},
]


class Folder:
    """A folder with a backlog that need not exist yet, and a list to import."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = path / "features.db"

    def run(self, entries: Any, *options: str, name: str = "list.json") -> Result:
        """Write a list and import it."""
        file = self.path / name
        file.write_text(json.dumps(entries), encoding="utf-8")
        return CliRunner().invoke(commands, ["import", str(file), "--db", str(self.db), *options])

    def answer(self, entries: Any, *options: str) -> dict[str, Any]:
        """Import, and return the JSON."""
        done = self.run(entries, "--json", *options)
        assert done.exit_code == 0, done.output
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty folder."""
    return Folder(tmp_path)


def test_a_dry_run_creates_nothing_and_says_what_an_import_says(folder: Folder) -> None:
    """Not even the backlog exists after it, and its counts are those of the import."""
    dry = folder.answer(LISTED, "--dry-run")
    assert not folder.db.exists()
    assert [one.name for one in folder.path.iterdir()] == ["list.json"]
    real = folder.answer(LISTED)
    assert (dry.pop("dry_run"), real.pop("dry_run")) == (True, False)
    assert (real.pop("first_id"), real.pop("last_id")) == (1, 2)
    assert dry == real


def test_a_dry_run_changes_no_byte(folder: Folder) -> None:
    """With `--update` and `--force`, too."""
    folder.answer(LISTED)
    before = folder.db.read_bytes()
    edited = [LISTED[0] | {"status": "todo"}, LISTED[1] | {"name": "Other"}]
    dry = folder.answer(edited, "--dry-run", "--update", "--force", "--source", "list.json")
    assert (dry["differing"], dry["taken"]) == ({"status": 1, "name": 1, "description": 1}, 3)
    assert folder.db.read_bytes() == before


def test_differences_are_counted_and_listed(folder: Folder) -> None:
    """Counts by field, why they stay, and with `--verbose` each of them; ids that are gone are named."""
    folder.run([*LISTED, {"id": "3", "name": "Third"}])
    edited = [LISTED[0] | {"status": "todo"}, LISTED[1] | {"description": "More"}]
    text = folder.run(edited).output
    assert "2 present: 1 differ in status, 1 differ in description." in text
    assert "2 differences kept as here; --update takes what the file says." in text
    assert "No longer in the file: 3." in text
    verbose = folder.run(edited, "--verbose", "--update").output
    assert "1 difference taken from the file." in verbose
    assert "1 difference kept, because they would take back a pass" in verbose
    assert "  1 (1) status: passing here, pending in the file (needs force)" in verbose
    assert "  2 (2) description: Second here, More in the file\n" in verbose
    listed = folder.answer(edited, "--verbose")["differences"]
    assert listed == [
        {"feature": 1, "reference": "1", "field": "status", "here": "passing", "there": "pending", "kept": "not asked"}
    ]


def test_unknown_words_are_printed_first_and_may_be_explained(folder: Folder) -> None:
    """They stand before everything that was understood."""
    odd = [LISTED[0] | {"status": "Fully baked"}]
    text = folder.run(odd, "--dry-run").output
    assert text.index("Fully baked") < text.index("Mapped:")
    assert folder.answer(odd, "--dry-run", "--status", "fully baked=passing")["unknown"] == []
    folder.run(odd, "--status", "fully baked=passing")
    assert "differing" not in folder.answer(odd, "--status", "fully baked=passing")
    assert folder.answer(odd, "--status", "fully baked=passing")["present"] == 1


@pytest.mark.parametrize(
    ("entries", "options", "says"),
    [
        ([{"id": "1", "name": "a", "dependencies": ["9"]}], [], "--drop-unknown"),
        ([{"id": n, "name": f"f{n}", "dependencies": list(range(n))} for n in range(22)], [], "dibs settings max_dep"),
        ([{"id": "1", "status": "done"}], [], "[0] has no text of its own"),
        (LISTED, ["--status", "baked=perhaps"], "write WORD=STATUS"),
        (LISTED, ["--force"], "--force requires --update"),
    ],
)
def test_refusals_change_nothing(folder: Folder, entries: Any, options: list[str], says: str) -> None:
    """Each ends with status 2, and says what to do."""
    done = folder.run(entries, *options)
    assert done.exit_code == 2
    assert says in done.stderr
    assert folder.answer([], "--dry-run")["present"] == 0


def test_a_second_list_says_as_what_it_was_imported(folder: Folder) -> None:
    """Another file with the same ids is another list, and its source is in the answer."""
    folder.run(LISTED)
    done = folder.run([{"id": "1", "name": "Payments"}, {"id": "2", "name": "Refunds"}], name="other.json")
    assert "2 features added" in done.output
    assert "as other.json" in done.output
