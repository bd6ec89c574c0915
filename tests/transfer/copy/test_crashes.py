"""A copy that is killed leaves one live project, or none and a command to finish it; never two."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dibs.verbs import outcome
from dibs_schema.refusals import DatabaseReplaced
from transfer.copy.killed_copy import MOMENTS
from transfer.copy.projects import contents, copied, is_live, opened, stage
from verbs.stage import add, is_sound

SOURCE_IS_LIVE = MOMENTS[:5]
NONE_IS_LIVE = MOMENTS[5:7]
TARGET_IS_LIVE = MOMENTS[7:]


def copy_and_die(source: str, target: str, moment: str) -> None:
    """Copy in a process that is killed at the given moment."""
    command = [sys.executable, "-m", "transfer.copy.killed_copy", source, target, moment]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


def live(source: str, target: str) -> list[str]:
    """The databases in which the project is live; an empty project of its name does not count."""
    found = ["source"] if is_live(source) else []
    with opened(target) as new:
        there = contents(new)["features"]
    return found + (["target"] if there and is_live(target) else [])


@pytest.mark.parametrize("moment", SOURCE_IS_LIVE)
def test_before_the_source_is_marked_it_goes_on(pair: tuple[str, str], moment: str) -> None:
    """A copy that was killed early is not live, and a second run copies later changes too."""
    source, target = pair
    with opened(source) as old:
        claim = stage(old)
    copy_and_die(source, target, moment)
    assert live(source, target) == ["source"]
    with opened(source) as old:
        add(old)
        before = contents(old)
    assert not copied(source, target, with_claims=True).finished
    assert live(source, target) == ["target"]
    with opened(target) as new:
        assert contents(new) == before
        assert is_sound(new)
        token = claim.token
        new.write_now(lambda tx: outcome.mark_passing(tx, claim.holder.name, claim.id, token))


@pytest.mark.parametrize("moment", NONE_IS_LIVE)
def test_once_the_source_is_marked_the_copy_is_finished(pair: tuple[str, str], moment: str) -> None:
    """After step 2 both refuse writes until a second run makes the copy live, with new leases."""
    source, target = pair
    with opened(source) as old:
        claim = stage(old)
        before = contents(old)
    copy_and_die(source, target, moment)
    assert live(source, target) == []
    with opened(target) as new, pytest.raises(DatabaseReplaced, match="was not finished"):
        add(new)
    done = copied(source, target)
    assert (done.finished, done.claims) == (True, 1)
    assert live(source, target) == ["target"]
    with opened(target) as new:
        assert contents(new) == before
        token = claim.token
        new.write_now(lambda tx: outcome.mark_passing(tx, claim.holder.name, claim.id, token))


@pytest.mark.parametrize("moment", TARGET_IS_LIVE)
def test_after_the_last_step_nothing_is_left_to_do(pair: tuple[str, str], moment: str) -> None:
    """The copy is live, and running the command again says that the project has moved."""
    source, target = pair
    with opened(source) as old:
        stage(old)
        before = contents(old)
    copy_and_die(source, target, moment)
    assert live(source, target) == ["target"]
    with pytest.raises(DatabaseReplaced, match="has moved"):
        copied(source, target)
    with opened(target) as new:
        assert contents(new) == before


@pytest.mark.parametrize("moment", ["after the copy is written", "after the source is marked"])
def test_a_way_back_that_was_cut_off_is_finished_too(pair: tuple[str, str], moment: str) -> None:
    """The same is true if the copy replaces the old rows of a project that moved."""
    source, target = pair
    with opened(source) as old:
        add(old)
    copied(source, target)
    with opened(target) as new:
        add(new)
        before = contents(new)
    copy_and_die(target, source, moment)
    assert not is_live(source)
    copied(target, source)
    assert not is_live(target)
    with opened(source) as old:
        assert contents(old) == before
        add(old)


def test_an_unfinished_copy_is_copied_by_nobody_else(pair: tuple[str, str], tmp_path: Path) -> None:
    """An unfinished copy is neither a source nor a target for another project."""
    source, target = pair
    with opened(source) as old:
        add(old)
    copy_and_die(source, target, "after the source is marked")
    other = str(tmp_path / "other.db")
    with pytest.raises(DatabaseReplaced, match="was not finished"):
        copied(target, other)
    with pytest.raises(DatabaseReplaced, match="has moved"):
        copied(source, other)
    copied(source, target)
    assert is_live(target)
