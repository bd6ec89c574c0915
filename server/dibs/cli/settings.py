"""`dibs settings`: shows and changes the settings of a project."""

from __future__ import annotations

import getpass
from typing import Any

import click

from dibs.cli.options import backlog, backlog_command, print_json
from dibs_schema.refusals import InvalidInput


@click.command()
@click.argument("name", required=False)
@click.argument("value", required=False)
@backlog_command
def settings(name: str | None, value: str | None, *, as_json: bool, **flags: Any) -> None:
    """Show the project's settings, or one, or set it: dibs settings order critical_path."""
    from dibs.verbs.project_settings import change_setting, get_settings

    with backlog(flags) as database:
        if name is not None and value is not None:
            rules = database.write_now(lambda tx: change_setting(tx, getpass.getuser(), name, value))
        else:
            rules = database.read_now(get_settings)
    shown = rules.model_dump()
    if name is not None:
        if name not in shown:
            raise InvalidInput(f"There is no setting {name}. The settings are {', '.join(shown)}.", field="name")
        shown = {name: shown[name]}
    if as_json:
        print_json(shown)
    else:
        click.echo("\n".join(f"{one} = {current}" for one, current in shown.items()))
