"""A backlog in the middle of a morning: a recipe box, on which agents work, ask, fail and pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dibs.database import open_database
from dibs.settings import Settings
from dibs.verbs.project_settings import change_setting
from races.servers import ServerClient, StartServer, up

FEATURES = Path(__file__).parents[3] / "examples" / "backlog.json"
AGENTS = ("ada", "bo", "cleo", "dan", "eve", "finn", "gus", "hana")
PASSED = 26
STUCK, ASKED, WAITING, LAST_READY = 31, 40, 38, 43
"""The feature that fails, that of a question, that which waits for an answer, and the last of those that are ready."""
FAILURE = "The restored service has no photos: the backup leaves out the store for uploaded files"
QUESTION = "What may a guest see?"
FIELDS = [
    {"id": "members", "label": "The names of the household's members", "type": "boolean"},
    {
        "id": "days",
        "label": "A link works for",
        "type": "select",
        "options": ["a day", "a week", "until it is withdrawn"],
    },
    {"id": "hidden", "label": "What else must stay hidden?", "type": "textarea", "required": False},
]
CHOICE = {
    "question": "How long does a device stay signed in?",
    "header": "Sessions",
    "options": [
        {"label": "A day", "description": "safest on the tablet in the kitchen"},
        {"label": "A month", "description": "what most recipe sites do"},
    ],
}


def fill(db: str, planner: ServerClient) -> None:
    """Create the features, and let failures end in stuck features without waiting."""
    database = open_database(Settings(db=db))
    database.write_now(lambda tx: change_setting(tx, "test", "back_off", 0))
    database.close(patience=5)
    planner.call("feature_create_bulk", features=[_entry(one) for one in json.loads(FEATURES.read_text("utf-8"))])


def _entry(one: dict[str, Any]) -> dict[str, Any]:
    texts = {name: one[name] for name in ("category", "name", "description", "steps")}
    return {**texts, "depends_on_indices": [number - 1 for number in one["dependencies"]]}


def agents_at_work(start: StartServer) -> list[ServerClient]:
    """Let eight agents pass features, fail one until it is stuck, ask two questions, and each claim another feature."""
    agents = up(*(start("--agent", name) for name in AGENTS))
    for number in range(PASSED):
        claim = claimed(agents[number % len(agents)])
        evidence = {"summary": "Every step checked", "commands": [{"command": "make test", "exit_code": 0}]}
        agents[number % len(agents)].call("feature_mark_passing", **claim, evidence=evidence)
    for _ in range(3):
        agents[3].call("feature_mark_failing", **claimed(agents[3], feature_id=STUCK), reason=FAILURE)
    asked = claimed(agents[5], feature_id=ASKED)
    agents[5].call("feature_request_human_input", **asked, prompt=QUESTION, fields=FIELDS)
    agents[2].call("ask_user", questions=[CHOICE], feature_ids=[WAITING])
    for agent in agents:
        claimed(agent)
    return agents


def claimed(agent: ServerClient, **wanted: Any) -> dict[str, Any]:
    """Claim a feature, and return the arguments that name the claim."""
    claim = agent.call("feature_claim_and_get", **wanted)
    return {"feature_id": claim["feature"]["id"], "claim_token": claim["claim"]["token"]}
