r"""Text that one agent writes and another reads is data: what cannot be seen in it is taken out.

Taken out: complete ANSI escape sequences with what they carry; C0 and C1 control characters but newline
and tab; controls of the writing direction; zero-width characters; tag characters, variation selectors that
select nothing and other invisible format characters, which can carry hidden text; lone surrogates. Line
ends become `\n`.

Two invisible characters stay where they change what a reader sees, and cannot hide anything: a zero-width
joiner between two emoji (a family, a profession), and a single joiner or non-joiner between two letters of
the scripts that are spelled with them (Arabic to Myanmar, Khmer, Mongolian). Anywhere else they only make
two equal-looking words differ, so they go. Flags of regions (England, Scotland, Wales) lose their tag
characters and become plain black flags.
"""

from __future__ import annotations

import re

_EMOJI = (
    r"\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u27bf\u2900-\u297f\u2b00-\u2bff"
    r"\U0001f000-\U0001faff"
)
_JOINING = r"\u0620-\u109f\u1780-\u17ff\u1820-\u18af"
_IDEOGRAPH = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_SELECTED = rf"#*0-9\u2200-\u22ff\u3000-\u303f\u3297\u3299{_EMOJI}{_IDEOGRAPH}"

_UNSEEN = re.compile(
    "|".join(
        (
            r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]",  # control sequences: colours, cursor
            # strings: titles, links, what devices are sent
            r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90\x98\x9c-\x9f]*(?:\x07|\x1b\\|\x9c)",
            r"\x1b[ -/]*[0-OQ-WYZ`-~]",  # two- and three-character escapes that introduce nothing
            r"[\x00-\x08\x0b-\x1f\x7f-\x9f]",
            r"[\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]",
            r"[\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]",
            rf"(?<![{_EMOJI}{_JOINING}])(?<![{_EMOJI}]\ufe0f)\u200d",
            rf"(?<=[{_EMOJI}\ufe0f])\u200d(?![{_EMOJI}])",
            rf"(?<=[{_JOINING}])\u200d(?![{_JOINING}])",
            rf"(?<![{_JOINING}])\u200c|\u200c(?![{_JOINING}])",
            rf"(?<![{_SELECTED}])[\ufe00-\ufe0f]",
            rf"(?<![{_IDEOGRAPH}])[\U000e0100-\U000e01ef]",
        )
    )
)


def clean(text: str) -> str:
    """Return `text` without what cannot be seen, with newlines for line ends; clean text as it is."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNSEEN.sub("", text)
