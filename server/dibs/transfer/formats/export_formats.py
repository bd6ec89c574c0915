"""The formats of an export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dibs.transfer.formats.beads_export import write_beads
from dibs.transfer.formats.checklist_export import write_checklist
from dibs.transfer.formats.exported import Write
from dibs.transfer.formats.json_export import write_feature_list, write_prd


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """How a format is written, and the file-name ending that selects it by default."""

    write: Write
    is_json: bool = True
    suffix: str | None = None


FORMATS: Final = {
    "feature_list": ExportFormat(write_feature_list),
    "prd": ExportFormat(write_prd),
    "beads": ExportFormat(write_beads, suffix=".jsonl"),
    "markdown": ExportFormat(write_checklist, is_json=False, suffix=".md"),
}
"""The formats by their names; the first is the default."""


def format_of(name: str | None, output: Path | None) -> ExportFormat:
    """Return the named format, else the format for the ending of the file's name, else the default."""
    if name is not None:
        return FORMATS[name]
    if output is not None and output.name == "prd.json":
        return FORMATS["prd"]
    suffix = output.suffix.lower() if output is not None else ""
    return next((one for one in FORMATS.values() if one.suffix == suffix), FORMATS["feature_list"])
