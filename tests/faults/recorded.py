"""A server with other pragmas than those of Dibs: python -m faults.recorded PRAGMAS --db FILE.

PRAGMAS is JSON, as {"synchronous": "OFF"}, which also turns off the sync before an answer. Everything else is as
`dibs serve` does it.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from dibs.__main__ import serve
from dibs.database import file_driver
from dibs.platform import durable_sync


def set_otherwise(pragmas: dict[str, Any]) -> None:
    """Let each new connection use these pragma values instead of the values that Dibs sets."""
    if pragmas.get("synchronous") == "OFF":
        durable_sync.sync_data = lambda descriptor: None
    driver: Any = file_driver()
    connect = driver.connect

    class Connection(driver.Connection):  # type: ignore[misc]  # whichever library it is
        def execute(self, statement: str, *values: Any) -> Any:
            setting = re.fullmatch(r"PRAGMA (\w+) = .*", statement)
            if setting and setting[1] in pragmas:
                statement = f"PRAGMA {setting[1]} = {pragmas[setting[1]]}"
            return super().execute(statement, *values)

    driver.connect = lambda *place, **how: connect(*place, **{"factory": Connection} | how)


if __name__ == "__main__":
    set_otherwise(json.loads(sys.argv[1]))
    serve(sys.argv[2:])
