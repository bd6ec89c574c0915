"""A Claude Code hook: it shows the agent its claims when a session starts, and releases them when the session ends.

DIBS_AGENT names the agent of this session. Without it, or without a backlog, the hook does nothing. It acts as a planner,
whatever the agent's role is, since only a planner may release the claims of another connection. Events and fields:
https://code.claude.com/docs/en/hooks
"""

import json
import sys

from dibs.client import SyncBacklog
from dibs.settings import Settings
from dibs_schema.refusals import InvalidInput, NotClaimed

HELD = (
    "You have a claim on feature {id} in the backlog of the MCP server `features`. Before anything else call "
    "feature_claim_and_get with resume=true: it returns the feature's text and a new token."
)
GONE = (
    "You have no claim in the backlog of the MCP server `features`: the claims of an earlier session were released when it "
    "ended. Claim a feature by its feature_id before you go on with it."
)


def main() -> None:
    """Read the event from standard input, and answer it."""
    event, settings = json.load(sys.stdin), Settings.read({})
    agent = settings.agent
    try:
        if agent is None or not (settings.is_server_url or settings.database_file().exists()):
            return
    except InvalidInput:  # there is no backlog for this folder
        return
    with SyncBacklog.open(role="planner") as backlog:
        held = [row.id for row in backlog.search(status="in_progress", agent=agent).features]
        if event["hook_event_name"] == "SessionEnd":
            for feature in held:
                try:
                    backlog.release(feature, force=True)
                except NotClaimed:  # its own server has released it already
                    continue
            return
    reminder = "\n".join(HELD.format(id=feature) for feature in held) or GONE * (event["source"] == "resume")
    if reminder:
        context = {"hookEventName": "SessionStart", "additionalContext": reminder}
        print(json.dumps({"hookSpecificOutput": context}))


main()
