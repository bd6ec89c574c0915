"""The HTML document of the MCP App: self-contained; its policy allows only its own style and script.

It contains no text of the backlog. The script asks for the data and shows it as text.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def document() -> str:
    """Return the document."""
    folder = files("dibs.mcp.app")
    style, script = ((folder / name).read_text("utf-8") for name in ("overview.css", "overview.js"))
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>Overview</title>\n<style>{style}</style>\n</head>\n"
        f'<body>\n<main id="main" aria-live="polite"></main>\n<script>{script}</script>\n</body>\n</html>\n'
    )


def _digest(text: str) -> str:
    """Return a text's digest as a policy names it. Source: Content Security Policy Level 3, hash-source."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
