"""The house keeps its order: floors, engines, sizes."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SERVER = ROOT / "server" / "dibs"
SCHEMA = ROOT / "schema" / "dibs_schema"

FLOORS = {
    "dibs_schema": 0,
    "dibs.settings": 1,
    "dibs.transfer.formats": 1,
    "dibs.database": 1,
    "dibs.client": 1,
    "dibs.verbs": 2,
    "dibs.registration": 2,
    "dibs_proof.history": 3,
    "dibs.mcp": 4,
    "dibs.cli": 4,
    "dibs_proof.demo": 4,
    "dibs_proof.storm": 4,
}
"""Imports go down, or stay within a part; faces never import each other."""

DOORWAYS = {
    ("dibs.cli", "dibs.mcp"): "dibs serve starts the server",
    ("dibs.cli", "dibs_proof.demo"): "dibs demo starts the demo",
    ("dibs.cli", "dibs_proof.storm"): "dibs storm starts the storm",
    ("dibs.client", "dibs.mcp"): "a harness can have the server as an object of its own process",
    ("dibs.client", "dibs.verbs"): "such a server needs a session, and a follower reads the journal",
    ("dibs.client", "dibs.database"): "both open the database",
    ("dibs.client", "dibs.settings"): "by the settings",
    ("dibs.database", "dibs.settings"): "the database is opened by the settings",
}
"""The few ways between parts of one floor, each with its reason."""

MAY_NAME_ENGINES = ("dibs.database", "dibs.transfer.formats", "dibs.settings", "dibs_schema.migrations")
"""The engines' own part; files of other tools, some of which are databases; settings; migrations."""

LINES = 270
"""No module is longer; the aim is 200."""

LONG = {
    "dibs_schema.tables": "the tables stand together, each with the reasons for its indexes",
    "dibs_schema.answers": "one small shape after another",
}
"""The modules that may be longer, each with its reason."""


def modules() -> list[Path]:
    """Every module of the product."""
    return sorted([*SERVER.rglob("*.py"), *SCHEMA.rglob("*.py")])


def dotted(path: Path) -> str:
    """A module's import name."""
    base = SERVER.parent if path.is_relative_to(SERVER) else SCHEMA.parent
    return ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")


def part(name: str) -> str | None:
    """The part of the house that a module belongs to."""
    return next((one for one in FLOORS if name == one or name.startswith(f"{one}.")), None)


def imports(path: Path) -> list[str]:
    """The names that a module imports anywhere, by their dotted names."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


@pytest.mark.parametrize("path", modules(), ids=dotted)
def test_imports_go_down_the_floors(path: Path) -> None:
    """A module imports its own part, lower floors, and what a doorway allows."""
    here = part(dotted(path))
    for name in imports(path):
        there = part(name)
        if here is None or there is None or there == here or (here, there) in DOORWAYS:
            continue
        assert FLOORS[there] < FLOORS[here], f"{dotted(path)} imports {name}"


def beside_engines() -> list[Path]:
    """The modules that may not name an engine."""
    return [one for one in modules() if not dotted(one).startswith(MAY_NAME_ENGINES)]


@pytest.mark.parametrize("path", beside_engines(), ids=dotted)
def test_engines_are_named_inside_the_database_only(path: Path) -> None:
    """Nobody outside `database/` knows which engine is used, but for the listed places."""
    code = _without_words(path)
    assert not re.search(r"sqlite|postgres|psycopg", code, re.IGNORECASE), f"{dotted(path)} names an engine"


def _without_words(path: Path) -> str:
    """The code without docstrings, which may speak of engines, and comments."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_docstring(one)] or [ast.Pass()]  # type: ignore[attr-defined]  # nodes with a body
    return ast.unparse(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def readable() -> list[Path]:
    """The modules that people read whole; a migration is a record."""
    return [one for one in modules() if dotted(one) not in LONG and ".versions." not in dotted(one)]


@pytest.mark.parametrize("path", readable(), ids=dotted)
def test_modules_stay_readable_in_one_sitting(path: Path) -> None:
    """No module outgrows its reader."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


def test_no_database_library_is_loaded_before_initialize() -> None:
    """What `dibs serve` imports before it answers brings neither SQLAlchemy nor Alembic nor any engine's library."""
    code = (
        "import dibs.cli.serve, dibs.mcp.server, dibs.database.postgres, dibs.database.sqlite, dibs.settings, sys; "
        "from dibs.database import open_database; from dibs.settings import Settings; "
        "open_database(Settings(db='postgresql://localhost/there')); open_database(Settings(db='there')); "
        "libraries = ('sqlalchemy', 'alembic', 'rich', 'sqlite3', 'pysqlite3', 'psycopg', 'psycopg_binary'); "
        "print([name for name in libraries if name in sys.modules])"
    )
    assert printed(code) == "[]"


USE = (
    "import sys; from dibs.database import open_database; from dibs.settings import Settings; "
    "database = open_database(Settings(db=sys.argv[1])); "
    "database.write_now(lambda tx: tx.project); database.read_now(lambda tx: tx.project); database.close(5); "
)


@pytest.mark.only_on("sqlite", reason="it is about the library for files")
def test_a_process_on_a_file_loads_one_library_for_it_and_none_for_servers(db: str) -> None:
    """After the database was opened and used, only one copy of SQLite is in the process, and nothing of psycopg."""
    copies = "sum(name in sys.modules for name in ('_sqlite3', 'pysqlite3._sqlite3'))"
    others = "[name for name in sys.modules if name.startswith('psycopg')]"
    assert printed(f"{USE} print({copies}, {others})", db) == "1 []"


@pytest.mark.only_on("postgresql", reason="it is about the library for servers")
def test_a_process_on_a_server_loads_no_library_for_files(db: str) -> None:
    """After the database was opened and used, no copy of SQLite is in the process."""
    found = "[name for name in ('_sqlite3', 'pysqlite3._sqlite3', 'alembic') if name in sys.modules]"
    assert printed(f"{USE} print({found})", db) == "[]"


def printed(code: str, *arguments: str) -> str:
    """What a program prints in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_server_over_stdio_loads_nothing_of_ours_that_serves_http() -> None:
    """What `dibs serve` loads without `--http` is what it was before; the SDK's own imports are the SDK's."""
    code = (
        "import sys; from dibs.database import open_database; from dibs.settings import Settings; "
        "import dibs.cli.serve, dibs.mcp.transport.stdio; from dibs.mcp.server import DibsServer; "
        "import dibs.mcp.catalogue; DibsServer(open_database(Settings(db='there')), Settings(), 'x'); "
        "print([name for name in ('dibs.mcp.transport.http', 'dibs.session.http_session') if name in sys.modules])"
    )
    assert printed(code) == "[]"
