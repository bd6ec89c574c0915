"""The end: a table of figures, what was checked, and the verdict."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dibs_proof.checks.report import print_findings, print_verdict
from dibs_proof.demo.figures import Figures
from dibs_proof.demo.verdict import Verdict


def print_report(console: Console, verdict: Verdict) -> None:
    """Print everything that was found, the verdict last."""
    console.print()
    console.print(_figures(verdict.figures))
    print_findings(console, verdict.findings)
    if verdict.log:
        console.print(Text(f"The servers' log ends with:\n{verdict.log}", style="dim"))
    print_verdict(console, *_verdict(verdict))


def _figures(of: Figures) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right", style="bold")
    table.add_column(style="dim")
    refused = ", ".join(f"{count} {code}" for code, count in of.refusals.items())
    ways = f"{of.failed} failed, {of.skipped} skipped, {of.asked} asked a person"
    rows: list[tuple[str, object, str]] = [
        ("features", of.features, f"{of.passed} of them built now"),
        ("claims", of.claims, f"{ways} first" if of.claims else ""),
        ("double claims", of.double_claims, "given to a second agent while one held it"),
        ("lost acknowledgements", of.lost_acknowledgements, "confirmed, but not in the journal"),
        ("take-overs", of.take_overs, "left by a dead agent, finished by another"),
        ("refusals", sum(of.refusals.values()), refused),
        ("claim latency, median", _ms(of.claim_p50_ms), "from a client's call to its token"),
        ("claim latency, p99", _ms(of.claim_p99_ms), ""),
        ("total time", f"{of.total_seconds:.1f} s", f"{of.start_seconds:.1f} s of it to start the servers"),
        ("features per second", of.features_per_second, f"{of.busiest_second} in the busiest second"),
    ]
    for name, value, words in rows:
        wrong = name in ("double claims", "lost acknowledgements") and value
        table.add_row(name, Text(str(value), style="bold red" if wrong else "bold"), words)
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _verdict(verdict: Verdict) -> tuple[str, str]:
    figures = verdict.figures
    broken = sum(not one.holds for one in verdict.findings)
    if verdict.broken_off:
        return f"BROKEN OFF after {figures.passed} features: {verdict.broken_off}", "bold red"
    if broken:
        return f"BROKEN. {broken} of {len(verdict.findings)} promises did not hold; see above.", "bold red"
    if not figures.claims:
        return (
            "NOTHING TO DO. Every feature was done already: nobody claimed anything, and nobody was killed.",
            "yellow",
        )
    words = (
        f"IT HOLDS. {figures.features} of {figures.features} features are done, none was ever held by two agents, "
        "nothing confirmed was lost, and the dead agent's work was finished by another."
    )
    return words, "bold green"
