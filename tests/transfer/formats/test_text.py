"""Only invisible characters are removed from a string."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dibs_schema.sanitize import clean

LETTERS = {"Lu", "Ll", "Lt", "Lo", "Nd", "Nl", "No", "Sm", "Sc", "So", "Po", "Zs"}
ALPHABET = (
    "ab 1\n\t\r\x00\x07\x1b\x1b\x7f\x85\x90\x9b\x9c\x9d[]();m?\\P"
    "\u00e9\u061c\u200b\u200c\u200c\u200d\u200d\u200e\u202e\u2060\u2066\ufeff\ufe0f\ufe00\u180b\u1820\u3164\U000e0001\U000e0041\U000e0100"
    "\u0645\u06cc\u0915\u094d\u845b\U0001f468\U0001f3fd\u2764\ud800\udc00"
)


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("\x1b[31mred\x1b[0m and \x1b[1;38;5;12mblue\x9b0m", "red and blue"),
        ("\x1b]0;your title\x07after", "after"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPq#0;2;0;0;0\x1b\\sixel", "sixel"),
        ("\x9d2;title\x9cafter", "after"),
        ("\x1b(Bplain\x1b7\x1bc", "plain"),
        ("\x1b]0;never ends", "]0;never ends"),
        ("\x1b[31", "[31"),
        ("nul\x00 bell\x07 back\x08 del\x7f next\x85", "nul bell back del next"),
        ("one\r\ntwo\rthree\n\tfour", "one\ntwo\nthree\n\tfour"),
        ("pay \u202e001\u202c \u2066x\u2069 \u200fa\u200e \u061cb", "pay 001 x a b"),
        ("zero\u200bwidth\u2060 \ufeffmark", "zerowidth mark"),
        ("hi\U000e0068\U000e0069\U000e007f", "hi"),
        ("half \ud83d and \udc00", "half  and "),
        ("x\ufe01\ufe02\ufe03 y\U000e0101 ❤\ufe0f\ufe0e", "x y ❤\ufe0f"),
        ("soft\u2063comma\u206a hy\u00adphen \u3164", "softcomma hyphen "),
    ],
)
def test_what_cannot_be_seen_is_taken_out(dirty: str, expected: str) -> None:
    """Escape sequences, controls, direction, zero width, tags, selectors without effect and lone surrogates are removed."""
    assert clean(dirty) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain\n\ttext",
        "Zürich, naïve, 東京, Привет, שלום, مرحبا",
        "👨\u200d👩\u200d👧 👩🏽\u200d⚕\ufe0f 🏳\ufe0f\u200d🌈 1\ufe0f\u20e3 ❤\ufe0f\u200d🔥",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "क्\u200dष",
        "葛\U000e0100飾区",
    ],
)
def test_what_a_reader_sees_stays(text: str) -> None:
    """Letters, emoji made of several characters, and joiners within the scripts that need them stay."""
    assert clean(text) == text


@pytest.mark.parametrize(
    ("dirty", "expected"),
    [
        ("lo\u200dgin lo\u200cgin", "login login"),
        ("😀\u200d", "😀"),
        ("\u200d😀", "😀"),
        ("😀\u200d\u200d😀", "😀😀"),
        ("\u0645\u06cc\u200c\u200c\u062e", "\u0645\u06cc\u062e"),
    ],
)
def test_a_joiner_elsewhere_goes(dirty: str, expected: str) -> None:
    """A joiner that joins nothing visible would only make equal-looking words differ, so it is removed."""
    assert clean(dirty) == expected


def test_no_invisible_character_stays_alone() -> None:
    """Of controls, format characters and surrogates only the visible ones stay, and every letter stays."""
    unseen = {"Cc", "Cf", "Cs"}
    kept = {code for code in range(sys.maxunicode + 1) if clean(chr(code))}
    seen = {
        *range(0x600, 0x606),
        0x6DD,
        0x70F,
        0x890,
        0x891,
        0x8E2,
        0x110BD,
        0x110CD,
        *range(0x13430, 0x13460),
    }
    assert not {code for code in kept if unicodedata.category(chr(code)) in unseen} - seen - {9, 10, 13}
    letters = {code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in LETTERS}
    assert letters - kept == {0x115F, 0x1160, 0x3164, 0xFFA0}, "the four letters of Hangul that are blank"


@given(st.text(alphabet=ALPHABET))
@example("\x1b1\ufe00")  # the digit is removed with the escape, so the selector has no effect
def test_clean_text_is_clean(text: str) -> None:
    """Cleaning twice is cleaning once, and the result can be written as UTF-8 without a control character."""
    once = clean(text)
    assert clean(once) == once
    assert not {chr(code) for code in (*range(9), *range(11, 32), *range(127, 160))} & set(once)
    once.encode()


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_ascii_comes_back_itself(text: str) -> None:
    """Printable ASCII is returned as the same object."""
    assert clean(text) is text


@pytest.mark.timing
@pytest.mark.parametrize("piece", ["\x1b]", "\x1b[0", "\x9d", "\x1b", "\x1b[;", "\u200d", "\ufe0f", "\x90a"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    """A string that is sixteen times longer takes far less than 256 times as long, even with unfinished sequences."""

    def seconds(count: int) -> float:
        text = piece * count
        best = 9.9
        for _ in range(3):
            start = time.perf_counter()
            clean(text)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(64_000) < 100 * max(seconds(4_000), 0.0005)
