"""Rules that neither import-linter nor ruff can check: words, sizes, and the modules that a process loads."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_NAME_ENGINES = (
    "server/dibs/database/",
    "server/dibs/settings.py",  # reads the URL
    "server/dibs/hooks/shortcut.py",  # one query before any library is loaded
    "server/dibs/transfer/formats/",  # some formats are SQLite files
    "schema/dibs_schema/migrations/",
)

LINES = 270
"""No module is longer; the aim is 200."""

LONG = {
    "schema/dibs_schema/tables.py": "the tables stand together, each with the reasons for its indexes",
    "schema/dibs_schema/answers.py": "one small shape after another",
    "server/dibs/database/postgres/engine.py": "one class, with every quirk of the engine",
    "server/dibs/database/sqlite/engine.py": "likewise",
}
"""The modules that may be longer, each with its reason."""


def modules() -> dict[str, str]:
    """Return the source of every module of the product, by path."""
    found = [*(ROOT / "server" / "dibs").rglob("*.py"), *(ROOT / "schema" / "dibs_schema").rglob("*.py")]
    assert found
    return {str(one.relative_to(ROOT)): one.read_text(encoding="utf-8") for one in sorted(found)}


def test_engines_are_named_inside_the_database_only() -> None:
    """No code outside `database/` depends on which engine is used, except in the listed places."""
    named = [
        name
        for name, text in modules().items()
        if not name.startswith(MAY_NAME_ENGINES) and re.search(r"sqlite|postgres|psycopg", _code(text), re.IGNORECASE)
    ]
    assert named == []


ASKS_FOR_THE_SYSTEM = re.compile(
    r"\b(sys\.platform|os\.(name|uname|fork|fsync|getuid|killpg|O_CLOEXEC)|platform\.(system|uname)|select\.poll"
    r"|import (ctypes|fcntl|msvcrt|pwd|resource|termios|winreg)|signal\.SIG(HUP|KILL|STOP|CONT)|pidfd_\w+)\b|/proc/"
)
"""What one system has and another has not."""


def test_only_the_platform_package_asks_which_system_it_runs_on() -> None:
    """Product and proof use what `dibs.platform` offers on every system."""
    texts = modules() | {str(one.relative_to(ROOT)): one.read_text("utf-8") for one in (ROOT / "proof").rglob("*.py")}
    asking = {
        name: found[0]
        for name, text in texts.items()
        if not name.startswith("server/dibs/platform/") and (found := ASKS_FOR_THE_SYSTEM.search(_code(text)))
    }
    assert asking == {}


def _code(text: str) -> str:
    """Return the code without comments and docstrings, which may name engines."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not _is_docstring(one)] or [ast.Pass()]  # type: ignore[attr-defined]  # nodes with a body
    return ast.unparse(tree)


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def test_modules_stay_readable_in_one_sitting() -> None:
    """No module is too long, except migrations and the listed ones."""
    texts = {name: text for name, text in modules().items() if "/versions/" not in name}
    too_long = [name for name, text in texts.items() if len(text.splitlines()) > LINES]
    assert set(too_long) <= set(LONG), too_long
    assert set(LONG) <= set(too_long), "these need no exception"


def test_no_database_library_is_loaded_before_initialize() -> None:
    """Before it answers, `dibs serve` imports neither SQLAlchemy nor Alembic nor any engine's library."""
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
    """After the database was opened and used, only one copy of SQLite is in the process, and psycopg is not."""
    copies = "sum(name in sys.modules for name in ('_sqlite3', 'pysqlite3._sqlite3'))"
    others = "[name for name in sys.modules if name.startswith('psycopg')]"
    assert printed(f"{USE} print({copies}, {others})", db) == "1 []"


@pytest.mark.only_on("postgresql", reason="it is about the library for servers")
def test_a_process_on_a_server_loads_no_library_for_files(db: str) -> None:
    """After the database was opened and used, no copy of SQLite is in the process."""
    found = "[name for name in ('_sqlite3', 'pysqlite3._sqlite3', 'alembic') if name in sys.modules]"
    assert printed(f"{USE} print({found})", db) == "[]"


def printed(code: str, *arguments: str) -> str:
    """Run a program in another process, and return its output."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_server_over_stdio_loads_nothing_of_ours_that_serves_http() -> None:
    """Without `--http`, `dibs serve` loads no module for HTTP beyond the SDK's own imports."""
    code = (
        "import sys; from dibs.database import open_database; from dibs.settings import Settings; "
        "import dibs.cli.serve, dibs.mcp.transport.stdio; from dibs.mcp.server import DibsServer; "
        "import dibs.mcp.definitions; DibsServer(open_database(Settings(db='there')), Settings(), 'x'); "
        "print([name for name in sys.modules if name == 'dibs.mcp.transport.http'])"
    )
    assert printed(code) == "[]"


def test_a_command_that_imports_nothing_loads_no_format() -> None:
    """Of all commands only `dibs import` and `dibs export` load the readers of other tools' files as they start."""
    code = (
        "import sys; from dibs.cli import commands; names = [one for one in commands.list_commands(None) if one not in "
        "('import', 'export')]; [commands.get_command(None, one) for one in names]; "
        "print([name for name in sys.modules if name.startswith('dibs.transfer.formats')])"
    )
    assert printed(code) == "[]"


def test_git_ignores_no_file_that_the_product_needs() -> None:
    """What stands in the source folders is also in a clone: `.gitignore` hides only what commands make."""
    folders = [
        one.name for one in ROOT.iterdir() if one.is_dir() and not one.name.startswith(".") and one.name != "build"
    ]
    listing = ["git", "ls-files", "--others", "--ignored", "--exclude-standard", "--", ".claude-plugin", *folders]
    found = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"not a git checkout: {found.stderr.strip()}")
    made = re.compile(r"(^|/)(__pycache__|\.dibs|[^/]+\.egg-info|dist)/")
    assert [one for one in found.stdout.splitlines() if not made.search(one)] == []
