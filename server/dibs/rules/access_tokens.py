"""The form of an access token: the secret by which a client over HTTP proves who it is."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from typing import Final

PREFIX: Final = "dibs_"
PATTERN: Final = r"dibs_[0-9A-Za-z]{49}"
"""A regular expression for secret scanners. The last six characters are a checksum, so that a scanner can be sure."""
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LETTERS: Final = 43
"""Characters in base 62 that hold 256 bits."""
_CHECKED: Final = 6
"""Characters in base 62 that hold the 32 bits of a CRC."""
_FORM: Final = re.compile(PATTERN, re.ASCII)


def new_access_token() -> str:
    """Return a new access token: the prefix, 256 random bits and the CRC-32 of both, in base 62."""
    body = PREFIX + _base62(secrets.randbits(256), _LETTERS)
    return body + _checksum(body)


def has_form(text: str) -> bool:
    """Return whether a text may be an access token: it has the form, and its checksum is right."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECKED]) == text[-_CHECKED:]


def digest_of(token: str) -> str:
    """Return the SHA-256 of an access token in hexadecimal, as the database has it: 256 random bits need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKED)


def _base62(number: int, letters: int) -> str:
    found = ""
    for _ in range(letters):
        number, rest = divmod(number, len(_ALPHABET))
        found = _ALPHABET[rest] + found
    return found
