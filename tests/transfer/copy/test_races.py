"""Copies while servers work, and during other copies."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from dibs.client import Client, server_command
from dibs_schema.refusals import DatabaseReplaced
from dibs_schema.tables import features
from transfer.copy.projects import contents, is_live, opened
from verbs.stage import add, is_sound, rule

SERVERS = 3


def begin(source: str, target: str, *flags: str) -> subprocess.Popen[str]:
    """Start `dibs copy`."""
    command = [sys.executable, "-m", "dibs", "copy", "--from", source, "--to", target, *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.anyio
async def test_no_acknowledged_claim_is_left_behind(pair: tuple[str, str]) -> None:
    """Claims that were acknowledged during a copy are in the new database."""
    source, target = pair
    with opened(source) as old:
        for _ in range(2):
            add(old, 1_000)
        rule(old, max_claims_per_connection=10_000)
    told: dict[int, str] = {}
    under_way = asyncio.Event()

    async def work() -> None:
        async with Client.start(server_command("--db", source)) as client:
            while True:
                try:
                    claimed = await client.call("feature_claim_and_get")
                except DatabaseReplaced:
                    return
                told[claimed["feature"]["id"]] = claimed["claim"]["token"]
                if len(told) > 30:
                    under_way.set()

    workers = [asyncio.create_task(work()) for _ in range(SERVERS)]
    await under_way.wait()
    copying = begin(source, target, "--with-claims")
    await asyncio.gather(*workers)
    said = copying.communicate(timeout=60)
    assert copying.returncode == 0, said
    with opened(target) as new:
        claims = select(features.c.id, features.c.claim_token).where(features.c.project_id == 1)
        kept = {row["id"]: row["claim_token"] for row in new.read_now(lambda tx: tx.all(claims))}
        assert {feature: kept[feature] for feature in told} == told
        assert is_sound(new)


def test_two_who_copy_the_same_do_not_both_succeed(pair: tuple[str, str], tmp_path: Path) -> None:
    """Of two copies of one project at the same time, one is refused, and one target is live."""
    source, target = pair
    with opened(source) as old:
        add(old, 200)
    other = str(tmp_path / "other.db")
    both = [begin(source, target), begin(source, other)]
    said = [one.communicate(timeout=60)[1] for one in both]
    assert sorted(one.returncode for one in both) == [0, 1], said
    assert "has moved to" in "".join(said)
    assert [is_live(source), *sorted(_holds(place) for place in (target, other))] == [False, False, True]


def _holds(db: str) -> bool:
    with opened(db) as database:
        return len(contents(database)["features"]) == 200


def test_copies_in_opposite_directions_pass_each_other(pair: tuple[str, str]) -> None:
    """Both copies lock the two databases in the same order, so both succeed."""
    source, target = pair
    for db, name in ((source, "web"), (target, "api")):
        with opened(db, name) as database:
            add(database, 300)
    both = [begin(source, target, "--project", "web"), begin(target, source, "--project", "api")]
    said = [one.communicate(timeout=60)[1] for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert (is_live(source, "api"), is_live(target, "web")) == (True, True)
    assert (is_live(source, "web"), is_live(target, "api")) == (False, False)
