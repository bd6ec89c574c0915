"""Which of the tests run on the Windows Python: the suite's core, and a short form of it."""

from __future__ import annotations

SHORT = (
    "tests/windows/test_races.py",
    "tests/tools/test_stdio.py::test_piped_requests_are_all_answered",
    "tests/tools/test_stdio.py::test_each_malformed_line_gets_its_error_and_the_server_goes_on",
    "tests/verbs/test_claim.py",
    "tests/verbs/test_outcome.py",
    "tests/cli/test_commands.py",
    "tests/transfer/backup/test_round_trips.py",
)
"""For every change."""

CORE = (
    "tests/windows",
    "tests/verbs",
    "tests/tools/test_stdio.py",
    "tests/tools/test_arguments.py",
    "tests/tools/test_refusals.py",
    "tests/races/test_claims.py",
    "tests/races/test_batches.py",
    "tests/races/test_kills.py",
    "tests/cli/test_commands.py",
    "tests/cli/test_init.py",
    "tests/registration",
    "tests/transfer/imports",
    "tests/transfer/backup",
    "tests/demo/test_run.py",
    "tests/client/test_methods.py",
    "tests/systems/test_spellings.py",
)
"""What the promises rest on."""


if __name__ == "__main__":
    print(*CORE)
