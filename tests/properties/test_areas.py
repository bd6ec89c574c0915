"""If two globs match a common file, their areas overlap; areas may also overlap without a common file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import String, bindparam, select
from wcmatch import glob

from dibs.database import Database, open_database
from dibs.rules.file_areas import overlap
from dibs.settings import Settings
from dibs_schema.file_areas import Area, AreaIndex, area_of, path_of
from races.backlog import times

FLAGS = glob.GLOBSTAR | glob.BRACE | glob.EXTGLOB | glob.DOTGLOB | glob.FORCEUNIX

NAMES = st.sampled_from(["a", "b", "ab", "src", "tests", "é", "a.py", "b.py", "a.b.py", "x.ts", ".env", "A"])
FILES = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PIECES = st.sampled_from(
    ["*", "?", "[ab]", "[!a]", "{a,b}", "{a.py,b/x}", "@(a|src)", "a*", "*b", "*.py", "*.t?", "?.{py,ts}"]
)
GLOBS = st.lists(st.one_of(NAMES, PIECES, st.just("**")), min_size=1, max_size=4).map("/".join)


@st.composite
def globs_of(draw: st.DrawFn, file: str) -> str:
    """Draw a glob that is likely to match the file: the file's path with wider parts."""
    parts: list[str] = []
    for part in file.split("/"):
        end = draw(st.integers(0, len(part)))
        dot = part.find(".")
        wider = [
            part,
            "*",
            "**",
            f"{part[:end]}*",
            f"*{part[end:]}",
            f"{{{part},zz}}",
            f"[{part[0]}]{part[1:]}",
        ]
        wider += [f"*{part[dot:]}"] if dot >= 0 else []
        parts += [*draw(st.sampled_from([[], ["**"]])), draw(st.sampled_from(wider))]
    kept = parts[: draw(st.integers(1, len(parts)))]
    return "/".join(kept) + draw(st.sampled_from(["", "", "/"]))


@cache
def _compiled(pattern: str) -> glob.WcMatcher[str]:
    return glob.compile(pattern, flags=FLAGS)


def names(path: str, file: str) -> bool:
    """Return whether a path of a feature matches the file, by a third-party glob matcher.

    A path without wildcards, or whose last part has no extension, may be a folder.
    """
    last = path.rstrip("/").rpartition("/")[2]
    if not any(sign in path for sign in "*?[{("):
        return file == path.rstrip("/") or file.startswith(f"{path.rstrip('/')}/")
    folders = path.endswith("/") or "." not in last.lstrip(".")
    plain = not path.endswith("/") and _compiled(path).match(file)
    return bool(plain or (folders and _compiled(f"{path.rstrip('/')}/**").match(file)))


@pytest.fixture(scope="module")
def opened(new_db: object) -> Iterator[Database]:
    """A database in which areas are compared, as the claim does."""
    with new_db() as name:  # type: ignore[operator]  # a fixture's type
        database = open_database(Settings(db=name))
        yield database
        database.close(patience=5)


def _given(which: str) -> tuple[bindparam, bindparam]:  # type: ignore[valid-type]
    return bindparam(f"{which}_b", type_=String), bindparam(f"{which}_e", type_=String)


OVERLAP = select(overlap(_given("one"), _given("other")))


def meet(database: Database, one: Area, other: Area) -> bool:
    """Return whether the areas overlap, in both directions: by the claim's WHERE, and by the index in memory."""
    given_ = {
        "one_b": one.beginning,
        "one_e": one.ending,
        "other_b": other.beginning,
        "other_e": other.ending,
    }
    back = {"one_b": other.beginning, "one_e": other.ending, "other_b": one.beginning, "other_e": one.ending}
    both = database.read_now(lambda tx: (bool(tx.value(OVERLAP, **given_)), bool(tx.value(OVERLAP, **back))))
    assert both[0] == both[1] == one.meets(other), "it is the same from either side, and outside the database"
    for index, area in ((AreaIndex([one]), other), (AreaIndex([other]), one)):
        assert index.overlapping([(1, *area), (2, None, None)]) == ({1} if both[0] else set())
    return both[0]


@settings(max_examples=times(80, 5_000), deadline=None)
@given(data=st.data())
@example(data=None)
def test_two_globs_that_name_one_file_overlap(opened: Database, data: st.DataObject | None) -> None:
    """If a real matcher finds a file that both globs match, the areas overlap."""
    if data is None:  # cases that are easy to get wrong
        cases = [("**/a.py", "*a.py", "a.py"), ("src/**/a.py", "src/a.py", "src/a.py"), ("a", "a/*", "a/b")]
        cases += [("p/*/tests", "p/**/*.py", "p/x/tests/a.py"), ("src/*/", "src/a/b/c", "src/a/b/c")]
    else:
        file = data.draw(FILES)
        either = st.one_of(globs_of(file), globs_of(file), GLOBS)
        cases = [(data.draw(either), data.draw(either), file)]
    for one, other, file in cases:
        named = names(one, file) and names(other, file)
        if data is not None:
            assume(named)
        assert named, (one, other, file)
        assert meet(opened, area_of(path_of(one)), area_of(path_of(other))), (one, other, file)


AREAS = st.builds(Area, st.text("ab/", max_size=4), st.sampled_from(["", ".a", ".b.a", ".b"]))


@given(live=st.lists(AREAS, max_size=8), area=AREAS)
def test_an_index_of_areas_finds_what_a_comparison_with_each_finds(live: list[Area], area: Area) -> None:
    """A lookup among many areas equals a comparison with each of them."""
    assert AreaIndex(live).overlapping([(1, *area)]) == ({1} if any(map(area.meets, live)) else set())


APART = [
    ("src/a", "src/ab"),
    ("src/a.py", "src/b.py"),
    ("src/**", "docs/**"),
    ("**/*.py", "**/*.md"),
    ("src/*.py", "src/*.ts"),
    ("src/a*", "src/b*"),
    ("Src/a", "src/a"),
    ("a%/x", "ab/x"),
    ("a_/x", "ab/x"),
    ("app/[id]/page.tsx", "app/[id]/layout.tsx"),
    ("é/x", "e/x"),
]


@pytest.mark.parametrize(("one", "other"), APART)
def test_globs_that_plainly_differ_do_not_overlap(opened: Database, one: str, other: str) -> None:
    """Paths with other folders, extensions or capitals do not overlap."""
    assert not meet(opened, area_of(path_of(one)), area_of(path_of(other)))


TOGETHER = [
    ("src/**", "src/a/b.py"),
    ("src", "src/a.py"),
    ("src/a.py", "**/*.py"),
    ("**", "a"),
    ("packages/*/tests", "packages/web/tests/x.ts"),
    ("packages/*/tests", "packages/**/*.ts"),
    ("packages/*.ts/", "packages/**/*.py"),
    ("src/*.{ts,tsx}", "src/a.ts"),
    ("./src//a", "src/a/"),
]


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_globs_that_plainly_meet_overlap(opened: Database, one: str, other: str) -> None:
    """A folder and its files overlap, and so do a glob and a matching file."""
    assert meet(opened, area_of(path_of(one)), area_of(path_of(other)))


REFUSED = ["", "  ", "/etc", "~/x", "C:/x", "a/../b", "a\\b", "!a", "./", "a\nb", "a\u200bb", "x" * 301]


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_no_path_is_refused(path: str) -> None:
    """Absolute paths, `..`, exclusions, escapes and invisible characters are refused with a message."""
    with pytest.raises(ValueError, match=r"\w"):
        path_of(path)
