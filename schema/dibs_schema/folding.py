"""Folds text for comparison: differences of case, of Unicode's composed and decomposed forms, and of spaces vanish."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

LONGEST_SEARCHED = 2_400
"""Bytes. PostgreSQL has no room for more than 2,704 in an entry of an index."""


def fold(text: str) -> str:
    """Return the text in a form in which texts that count as equal are equal strings.

    Source: Unicode Standard, section 3.13, compatibility caseless matching.
    """
    if text.isascii():
        folded = text.lower()  # the same, and faster
    else:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.split())


_PATH = re.compile(r"\S*[/\\]\S*")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+(?:[.,:]\d+)*")


def mask(reason: str) -> str:
    """Return a reason for a failure in a form in which reasons that differ only in numbers and paths are equal."""
    return _NUMBER.sub("0", _PATH.sub("/", fold(reason)))


def name_digest(category: str, name: str) -> str:
    """Return a digest that two features share if their categories and names differ in nothing but form."""
    return _digest(fold(category), fold(name))


def _digest(category: str, name: str) -> str:
    return hashlib.blake2b(f"{category}\0{name}".encode(), digest_size=16).hexdigest()


def folded(feature: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns by which a feature is compared and searched, from its category, name and reference."""
    category, name = fold(feature["category"]), fold(feature["name"])
    return {
        "name_digest": _digest(category, name),
        "search_text": _searched(name, category, fold(feature.get("reference") or "")),
    }


def search_text(category: str, name: str, reference: str | None) -> str:
    """Return the text that a search looks in, one line for each field, at most LONGEST_SEARCHED bytes of it."""
    return _searched(fold(name), fold(category), fold(reference or ""))


def _searched(*lines: str) -> str:
    text = "\n".join(lines)
    return (
        text
        if len(text) <= LONGEST_SEARCHED and text.isascii()
        else text.encode()[:LONGEST_SEARCHED].decode(errors="ignore")
    )
