"""An agent that follows what its server says: it builds the feature that it was started for, and asks for the next one.

Its only argument is a folder, in which it reports the refusal of another claim. A feature named "broken" fails, and at one
named "crash" the agent dies.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from dibs.client import Client, server_command
from dibs_schema.refusals import Forbidden


async def main() -> tuple[int, str] | None:
    """Build one feature, and return its number and the refusal of the next claim."""
    async with Client.start(server_command()) as client:
        feature = (await client.call("feature_claim_and_get"))["feature"]
        number = feature["id"]
        if feature["name"] == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if feature["name"] == "broken":
            await client.call("feature_mark_failing", feature_id=number, reason="it breaks")
        else:
            await client.call("feature_mark_passing", feature_id=number, evidence=f"built {feature['name']}")
        try:
            await client.call("feature_claim_and_get")
        except Forbidden as refusal:
            return number, refusal.message
        return None


if (told := asyncio.run(main())) is not None:
    Path(sys.argv[1], f"{told[0]}").write_text(told[1], encoding="utf-8")
