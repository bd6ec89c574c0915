"""A Claude Code hook: at a session's start it tells the agent what it holds, at the end it gives that back.

It goes by DIBS_AGENT, the name of this one session's agent, and does nothing without it or without a backlog. Whatever
the agent's role is, giving back what its server holds is a planner's. Events and fields:
https://code.claude.com/docs/en/hooks
"""

import json
import sys

from dibs.client import SyncBacklog
from dibs.settings import Settings
from dibs_schema.refusals import NotClaimed

HELD = (
    "You hold the claim on feature {id} of the backlog that the MCP server `features` serves. Before anything else call "
    "feature_claim_and_get with resume=true: it gives you its text again, and a new token."
)
GONE = (
    "You hold no claim in the backlog that the MCP server `features` serves: an earlier session's were given back when it "
    "ended. Claim a feature by its feature_id before you go on with it."
)


def main() -> None:
    """Read the event from standard input, and answer it."""
    event, settings = json.load(sys.stdin), Settings.read({})
    agent = settings.agent
    if agent is None or not (settings.is_server_url or settings.database_file().exists()):
        return
    with SyncBacklog.open(role="planner") as backlog:
        held = [row.id for row in backlog.search(status="in_progress", agent=agent).features]
        if event["hook_event_name"] == "SessionEnd":
            for feature in held:
                try:
                    backlog.release(feature, force=True)
                except NotClaimed:  # its server was faster
                    continue
            return
    said = "\n".join(HELD.format(id=feature) for feature in held) or GONE * (event["source"] == "resume")
    if said:
        context = {"hookEventName": "SessionStart", "additionalContext": said}
        print(json.dumps({"hookSpecificOutput": context}))


main()
