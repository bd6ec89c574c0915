r"""Remove invisible characters from text that one agent writes and another reads.

It removes: ANSI escape sequences with their contents; C0 and C1 control characters except newline and tab;
bidirectional controls; zero-width and other invisible characters; tags, and variation selectors without a base, which
can carry hidden text; lone surrogates. Line ends become `\n`.

An invisible character stays where it changes what a reader sees: a zero-width joiner between two emoji (a family, a
profession); a joiner or non-joiner between two letters of scripts that use them (Arabic to Myanmar, Khmer, Mongolian);
a variation selector after an emoji, sign or ideograph that has variants. Elsewhere it would only distinguish words
that look the same. Flags of regions (England, Scotland, Wales) lose their tag characters and become black flags.
"""

from __future__ import annotations

import re
from functools import cache

_EMOJI = (
    r"\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff"
    r"\U0001f000-\U0001faff"
)
_MONGOLIAN = r"\u1820-\u18af"
_JOINING = rf"\u0620-\u109f\u1780-\u17b3\u17b6-\u17ff{_MONGOLIAN}"
_IDEOGRAPH = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SELECTED = rf"#*0-9\u2200-\u22ff\u3000-\u303f\u3297\u3299{_EMOJI}{_IDEOGRAPH}"

_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
# Unicode's Default_Ignorable_Code_Point without joiners and selectors; annotations; surrogates.
_INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
_IN_CONTEXT = r"\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"

_REMOVED = (
    rf"(?=[{_CONTROL}{_INVISIBLE}{_IN_CONTEXT}])(?:"  # a quick test that most characters fail
    + "|".join(
        (
            r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]",  # control sequences: colours, cursor
            # strings: titles, links, device control
            r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)",
            r"\x1b[ -/]*[0-OQ-WYZ`-~]",  # two- and three-character escapes that introduce nothing
            rf"[{_CONTROL}{_INVISIBLE}]",
            rf"(?<![{_EMOJI}{_JOINING}])(?<![{_EMOJI}]\ufe0f)\u200d",
            rf"(?<=[{_EMOJI}\ufe0f])\u200d(?![{_EMOJI}])",
            rf"(?<=[{_JOINING}])\u200d(?![{_JOINING}])",
            rf"(?<![{_JOINING}])\u200c|\u200c(?![{_JOINING}])",
            rf"(?<![{_SELECTED}])[\ufe00-\ufe0f]",
            rf"(?<![{_IDEOGRAPH}])[\U000e0100-\U000e01ef]",
            rf"(?<![{_MONGOLIAN}])[\u180b-\u180d\u180f]",
        )
    )
    + ")"
)


@cache
def _invisible() -> re.Pattern[str]:
    return re.compile(_REMOVED)  # at the first use, since that takes as long as an import


def clean(text: str) -> str:
    """Return `text` without invisible characters, and with newlines as line ends."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    while (visible := _invisible().sub("", text)) != text:  # a removal can join characters that must be removed, too
        text = visible
    return text
