"""`dibs import` without FILE: lists the backlogs of other tools in the repository, and asks which of them to import."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dibs.cli import options
from dibs.cli.escaped_text import counted, one_line
from dibs.cli.transfer import progress_bar
from dibs.root_folder import current_folder, find_root
from dibs_schema.refusals import InvalidInput

if TYPE_CHECKING:
    from dibs.transfer.formats import ReadOptions
    from dibs.transfer.formats.discovery import FoundBacklog


def choose_backlogs(reading: ReadOptions, *, as_json: bool) -> list[Path]:
    """Print the backlogs in the repository, and return those that the user chooses: none where nobody can answer."""
    from dibs.database import file_driver
    from dibs.transfer.formats.discovery import find_backlogs

    here = current_folder()
    root = find_root(here)
    with progress_bar("looking for backlogs") as progress:
        found = []
        for one in find_backlogs(root, file_driver(), reading):
            found.append(one)
            progress("looking for backlogs", len(found), len(found))
    if as_json:
        rows = [
            {"path": str(one.path), "format": one.format, "features": one.features, "refusal": one.refusal}
            for one in found
        ]
        options.print_json({"found": rows})
        return []
    if not found:
        click.echo(
            f"There is no backlog of another tool in {one_line(str(root))}. `dibs import FILE` reads one elsewhere."
        )
        return []
    for number, one in enumerate(found, start=1):
        click.echo(f"{number:>3}  {_shown(one.path, here)}: {_what(one)}")
    usable = [one.path for one in found if one.refusal is None and one.features]
    if not (usable and sys.stdin.isatty() and sys.stdout.isatty()):
        if usable:
            click.echo(f"Nothing is imported yet. Name one: dibs import {_shown(usable[0], here)}")
        return []
    answer = click.prompt("Which should be imported? Numbers with commas, all, or none", default="none")
    return _chosen(answer, [one.path for one in found], usable)


def _shown(path: Path, here: Path) -> str:
    return one_line(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _what(one: FoundBacklog) -> str:
    if one.refusal is not None:
        return one_line(one.refusal.removeprefix(f"{one.path}: ").removesuffix(" Nothing was imported."))
    return f"{counted(one.features, 'feature')} ({one.format})"


def _chosen(answer: str, found: Sequence[Path], usable: list[Path]) -> list[Path]:
    words = answer.replace(",", " ").split()
    if words == ["all"]:
        return usable
    if words in ([], ["none"]):
        return []
    if not all(word.isdecimal() and 1 <= int(word) <= len(found) for word in words):
        raise InvalidInput(
            f"{one_line(answer)} is not a list of numbers from 1 to {len(found)}. Nothing was imported.", field="file"
        )
    return [found[int(word) - 1] for word in dict.fromkeys(words)]
