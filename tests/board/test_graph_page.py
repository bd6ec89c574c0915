"""The graph around a feature: at most 60 features as links in a picture, and why the feature is blocked."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree as ET

from board.people import Person
from dibs.database import Database
from verbs.stage import add, depend, finish

SVG = "{http://www.w3.org/2000/svg}"


def picture(document: str) -> ET.Element:
    """Return the picture of a page, which must be well-formed."""
    found = re.search(r'<svg class="graph".*</svg>', document, re.DOTALL)
    assert found is not None
    return ET.fromstring(found[0].replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def shown(document: str) -> list[int]:
    """Return the features in the picture."""
    return [int(link.attrib["href"].rpartition("/")[2]) for link in picture(document).iter(f"{SVG}a")]


def test_it_says_why_a_feature_is_blocked(person: Person, database: Database) -> None:
    """The longest chain of what is not done is the critical path, in words and in the picture."""
    done, first, second, short, blocked, above = add(database, 6)
    for feature, needed in ((first, [done]), (second, [first]), (blocked, [second, short]), (above, [blocked])):
        depend(database, feature, *needed)
    finish(database, done)
    page = person.get(f"/feature/{blocked}/graph").text
    assert [int(one) for one in re.findall(r'id="chain-(\d+)"', page)] == [first, second, blocked]
    assert sorted(shown(page)) == sorted([done, first, second, short, blocked, above])
    paths = list(picture(page).iter(f"{SVG}path"))
    assert (len(paths), sum(one.get("class") == "critical" for one in paths)) == (5, 2)
    assert "waits for no other feature" in person.get(f"/feature/{first}/graph").text


def test_dependencies_stand_above_their_dependents(person: Person, database: Database) -> None:
    """Each arrow leads down, boxes do not overlap, and all fit into the width of a phone."""
    ids = add(database, 14)
    for place, feature in enumerate(ids[1:], 1):
        depend(database, feature, *{ids[place // 2], ids[place - 1]} - {feature})
    page = person.get(f"/feature/{ids[7]}/graph").text
    boxes = [
        (float(one.attrib["x"]), float(one.attrib["y"])) for one in picture(page).iter(f"{SVG}svg") if "x" in one.attrib
    ]
    assert len(boxes) == len(ids)
    assert all(0 <= x <= 360 - 112 for x, _ in boxes)
    assert all(abs(x - u) >= 112 or abs(y - v) >= 44 for x, y in boxes for u, v in boxes if (x, y) != (u, v))
    assert len(set(boxes)) == len(boxes)
    for arrow in picture(page).iter(f"{SVG}path"):
        numbers = [float(one) for one in re.findall(r"[\d.]+", arrow.attrib["d"])]
        assert numbers[1] < numbers[-1]


def test_at_most_sixty_features_are_shown(person: Person, database: Database) -> None:
    """The nearest ones, however many there are: a feature with 200 dependents, and with a chain of 30 above it."""
    chain = add(database, 30)
    for lower, upper in pairwise(chain):
        depend(database, upper, lower)
    add(database, 200, dependencies=[chain[-1]])
    page = person.get(f"/feature/{chain[-1]}/graph").text
    found = shown(page)
    assert (len(found), len(set(found))) == (60, 60)
    assert {chain[-1], chain[-2]} <= set(found)
    assert "Only the nearest 60 features" in page
