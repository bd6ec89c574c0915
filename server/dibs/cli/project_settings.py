"""`dibs settings`: show and change the settings of a project, and allow its verify command on this machine."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dibs.cli.options import PLACE, backlog, backlog_command, print_json
from dibs.platform.users import user_name
from dibs.regular_file import read_regular
from dibs.settings import Settings
from dibs_schema.folding import fold
from dibs_schema.refusals import Forbidden, InvalidInput, NotFound, ReadOnly

if TYPE_CHECKING:
    from dibs.database import Database
    from dibs_schema.project_settings import ProjectSettings

LONGEST_FILE = 100_000
"""Bytes of a value that is read from a file; the longest one has fewer."""
COMMAND = "verify_command"


@click.command()
@click.argument("name", required=False)
@click.argument("value", required=False)
@click.option("--file", "file", metavar="FILE", help="Read the value from FILE; - is standard input.")
@click.option("--category", help="With done_when: set the text for features of this category.")
@click.option("--allow", is_flag=True, help="With verify_command: let your agents run it on this machine.")
@backlog_command
def settings(
    name: str | None,
    value: str | None,
    *,
    file: str | None,
    category: str | None,
    allow: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Show the project's settings, or one, or set it: dibs settings order critical_path.

    An empty VALUE empties a text. done_when takes a JSON object, or --category with a text.

    Only a person sets verify_command: it runs as you, for each of your agents that passes a feature. So a command that
    another user has set, or that came with a copy, runs here only after `dibs settings verify_command --allow`.
    """
    from dibs.verbs.project_settings import get_settings, unknown_setting

    given = text_of(file) if file is not None else value
    with backlog(flags, read_only=given is None) as database:
        rules = database.read_now(get_settings)
        if name is not None and name not in type(rules).model_fields:
            raise unknown_setting(name)
        if given is not None or allow:
            rules = _change(database, rules, name, given, category=category, allow=allow)
    shown = rules.model_dump()
    if name is not None:
        shown = {name: shown[name]}
    if as_json:
        print_json(shown)
    else:
        click.echo("\n".join(f"{one} = {current}" for one, current in shown.items()))


def _change(
    database: Database,
    rules: ProjectSettings,
    name: str | None,
    given: str | None,
    *,
    category: str | None,
    allow: bool,
) -> ProjectSettings:
    """Set the setting, if a value is `given`, and allow the verify command. Return the settings. Raises InvalidInput."""
    from dibs.session.allowed_commands import AllowedCommands
    from dibs.verbs.project_settings import change_setting

    if allow and name != COMMAND:
        raise InvalidInput("--allow: it goes with verify_command.", field="--allow")
    if name == COMMAND:
        _refuse_agents()
    if given is not None and name is not None:
        new = _definitions(rules, given, category) if name == "done_when" else given
        rules = database.write_now(lambda tx: change_setting(tx, user_name(), name, new))
    if name == COMMAND and rules.verify_command:
        generation = database.read_now(lambda tx: tx.project.generation)
        AllowedCommands.of_user().allow(generation, rules.verify_command)
    return rules


def _definitions(rules: ProjectSettings, given: str, category: str | None) -> Any:
    """Return done_when with the text for one category, or all of it from JSON. An empty text removes the category's."""
    if category is not None:
        others = {one: text for one, text in rules.done_when.items() if fold(one) != fold(category)}
        return others | ({category: given} if given.strip() else {})
    try:
        return json.loads(given) if given.strip() else {}
    except (ValueError, RecursionError):
        raise InvalidInput(
            'done_when: send a JSON object, as {"api": "…"}, or a text with --category.', field="done_when"
        ) from None


def _refuse_agents() -> None:
    """Raise Forbidden in the shell of an agent: its verify command would prove nothing."""
    read = Settings.read({})
    if read.client_session is not None or read.claim is not None or not read.role.plans:
        raise Forbidden(
            "Only a person may set or allow verify_command, from their own terminal; this terminal belongs to an agent.",
            field=COMMAND,
        )


def text_of(file: str, field: str = "--file") -> str:
    """Return the text of a file, or of standard input for `-`. Raises InvalidInput, and OSError."""
    data = sys.stdin.buffer.read(LONGEST_FILE) if file == "-" else read_regular(Path(file), LONGEST_FILE, field=field)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{field}: {file} is not UTF-8.", field=field) from None


def start_instructions(flags: dict[str, Any], text: str | None, *, quiet: bool) -> None:
    """Set the project's instructions to `text`; without one, ask for a file if the project has none yet.

    `quiet` writes to standard error. Raises InvalidInput, and OSError.
    """
    from dibs.verbs.project_settings import change_setting

    place = {name: flags.get(name) for name in PLACE}
    if text is None and not _has_instructions(place):
        file = click.prompt("A file with what every worker must know (empty for none)", "", show_default=False)
        text = text_of(file, "file") if file else None
    if text is not None:
        with backlog(place, make=True) as database:
            rules = database.write_now(lambda tx: change_setting(tx, user_name(), "instructions", text))
        click.echo(f"Each claim brings these instructions: {len(rules.instructions):,} characters.", err=quiet)


def _has_instructions(place: dict[str, Any]) -> bool:
    from dibs.verbs.project_settings import get_settings

    with suppress(NotFound, ReadOnly), backlog(place, read_only=True) as database:
        return bool(database.read_now(get_settings).instructions)
    return False
