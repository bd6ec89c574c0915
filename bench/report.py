"""The measured sections with date and machine, as JSON, and as the tables of a page."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bench.figures import Measured, from_json, tables, to_json

BEGIN, END = "<!-- python -m bench -->\n", "<!-- end -->\n"


@dataclass(frozen=True, slots=True)
class Section:
    """The figures of one section, from one run."""

    figures: Sequence[Measured]
    measured: str
    machine: str
    versions: str
    load: float
    quick: bool

    @property
    def caption(self) -> str:
        """Return the time and machine of the measurement, and the load."""
        short = ", the quick form" if self.quick else ""
        return f"{self.measured}, load {self.load:.1f} at the end{short}. {self.machine}. {self.versions}."


@dataclass(slots=True)
class Report:
    """Sections by name, each from its latest run."""

    sections: dict[str, Section] = field(default_factory=dict)

    def record(self, name: str, figures: Sequence[Measured], quick: bool) -> None:
        """Add the figures of a section that was measured just now."""
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        self.sections[name] = Section(figures, now, machine(), versions(), os.getloadavg()[0], quick)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the report in `path`."""
        found: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return cls(
            {
                name: Section(**{**one, "figures": [from_json(figure) for figure in one["figures"]]})
                for name, one in found.items()
            }
        )

    def write(self, path: Path) -> None:
        """Write the report to `path`."""
        found = {
            name: {**asdict(one), "figures": [to_json(figure) for figure in one.figures]}
            for name, one in self.sections.items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found), encoding="utf-8")

    def write_markdown(self, path: Path, plots: Mapping[str, Path] | None = None) -> None:
        """Put the plots and the tables between the marks of a page."""
        before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        shown = "".join(f"![{title}]({_from(path, one)})\n\n" for title, one in (plots or {}).items())
        path.write_text(f"{before}{begin}\n{shown}{self.markdown()}\n{end}{after}", encoding="utf-8")

    def markdown(self) -> str:
        """Return a heading, a caption and tables for each section."""
        return "".join(
            f"### {name}\n\n{one.caption}\n\n{tables(one.figures, markdown=True)}\n\n"
            for name, one in self.sections.items()
        )

    def figures(self) -> list[Measured]:
        """Return the figures of all sections."""
        return [figure for one in self.sections.values() for figure in one.figures]


def machine() -> str:
    """Return processor, cores, memory and system."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    kibibytes = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    memory = f", {kibibytes / (1 << 20):.0f} GiB" if kibibytes else ""
    return f"{model}, {os.cpu_count()} cores{memory}, {platform.system()} {platform.release().split('-')[0]}"


def versions() -> str:
    """Return the versions of Dibs, Python, the SDK and SQLite."""
    from importlib.metadata import version

    from dibs import __version__
    from dibs.database.sqlite.driver import driver

    sqlite = driver().sqlite_version
    return f"Dibs {__version__}, Python {sys.version.split()[0]}, mcp {version('mcp')}, SQLite {sqlite}"


def _from(page: Path, plot: Path) -> str:
    return Path(os.path.relpath(plot, page.parent)).as_posix()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
