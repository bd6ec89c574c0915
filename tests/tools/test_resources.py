"""Resources have the same data as the tools, within an answer's size, and a URI for the rest."""

from __future__ import annotations

import json
import re
from itertools import cycle, islice
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp.types import PaginatedRequestParams

from dibs.client import Client
from dibs.database import Database
from dibs.verbs import outcome, update
from dibs.verbs.create import create_bulk
from dibs_schema.evidence import EvidenceFields
from verbs.stage import add, named, new, take, token_of

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.only_on("sqlite", reason="what is read is tried on each engine where it is found"),
]

ANSWER = 10_000
letters = pytest.mark.parametrize("alphabet", ["x", '"', "\\", "é", "😀", "a\n"])


def words(alphabet: str, length: int) -> str:
    """Return a string with this number of characters."""
    return "".join(islice(cycle(alphabet), length - 1)) + "z"


async def read(server: Client, uri: str) -> Any:
    """Return a resource's data, after checking its size."""
    (content,) = (await server.session.read_resource(uri)).contents
    text: str = content.text  # type: ignore[union-attr]  # no resource is a blob
    assert str(content.uri) == uri
    assert len(text) <= ANSWER, f"{uri} has {len(text)} characters"
    if content.mime_type == "text/vnd.mermaid":
        return text
    assert content.mime_type == "application/json"
    data = json.loads(text)
    assert text == json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return data


async def refused(server: Client, uri: str) -> MCPError:
    """Read a resource that must be refused, and return the protocol's error."""
    with pytest.raises(MCPError) as caught:
        await server.session.read_resource(uri)
    assert caught.value.error.code == -32602
    return caught.value


async def test_few_resources_are_listed_and_features_are_reached_by_a_template(server: Client) -> None:
    """Clients show the list as one menu, so it has five entries however many features there are."""
    listed = (await server.session.list_resources()).resources
    assert [str(one.uri) for one in listed] == [
        "features://stats",
        "features://overview",
        "features://ready",
        "features://graph",
        "features://events",
    ]
    templates = (await server.session.list_resource_templates()).resource_templates
    assert [one.uri_template for one in templates] == ["feature://{id}", "features://events{?after}"]
    assert all(one.title and one.description and one.mime_type for one in listed)
    assert all(one.title and one.description and one.mime_type for one in templates)
    assert len(json.dumps([one.model_dump(mode="json", exclude_none=True) for one in listed])) < 1_000


async def test_each_says_what_its_tool_says(server: Client, backlog: Database) -> None:
    """A resource and the tool for the same question give the same data."""
    first, second = add(backlog, 2)
    (last,) = add(backlog, dependencies=[first, second])
    take(backlog, named("ada"), second)
    assert await read(server, f"feature://{last}") == await server.call("feature_get_by_id", feature_id=last)
    assert await read(server, "features://stats") == await server.call("feature_get_stats")
    overview, tool = await read(server, "features://overview"), await server.call("feature_get_overview")
    assert {name: overview[name] for name in ("counts", "database")} == {
        name: tool[name] for name in ("counts", "database")
    }
    assert [one["id"] for one in overview["claims"]] == [second]
    ready = await server.call("feature_get_ready", limit=50)
    assert (await read(server, "features://ready"))["features"] == ready["features"]
    graph = await server.call("feature_get_graph", limit=100, format="mermaid")
    assert (await read(server, "features://graph")).startswith(graph["mermaid"])
    assert f"f{second} --> f{last}" in graph["mermaid"]


async def test_the_journal_is_read_from_any_place_to_its_end(server: Client, backlog: Database) -> None:
    """Following `next` from the beginning gives every event once, in order; a read without a cursor gives the newest."""
    ids = add(backlog, 30)
    for one in ids[:10]:
        backlog.write_now(lambda tx, one=one: update.add_note(tx, "ada", one, words("x", 400)))  # type: ignore[misc]
    uri, read_ids = "features://events?after=0-0", list[int]()
    while (page := await read(server, uri))["events"]:
        read_ids += [one["id"] for one in page["events"]]
        uri = page["next"]
    assert page["next"] == uri, "the end is where the reader goes on later"
    assert sorted(set(read_ids)) == sorted(read_ids)
    assert len(read_ids) >= 40
    newest = (await read(server, "features://events"))["events"]
    assert [one["id"] for one in newest] == read_ids[-len(newest) :]
    (feature,) = add(backlog)
    told = (await read(server, uri))["events"]
    assert [(one["kind"], one["feature"]) for one in told] == [("create", feature)]


@letters
async def test_a_feature_of_any_size_is_read_whole_in_parts(server: Client, backlog: Database, alphabet: str) -> None:
    """The longest feature, passed with the longest evidence, takes several answers of at most 10,000 characters."""
    description, steps = words(alphabet, 20_000), [words(alphabet, 2_000) for _ in range(5)]
    needed = add(backlog, 20, name=words(alphabet, 255))
    feature = backlog.write_now(
        lambda tx: create_bulk(
            tx,
            words(alphabet, 100),
            [
                new(
                    words(alphabet, 255),
                    category=words(alphabet, 100),
                    description=description,
                    steps=steps,
                )
            ],
        )
    ).ids[0]
    token = token_of(backlog, feature)
    proof = EvidenceFields.model_validate({"summary": words(alphabet, 2_000), "commit": "c" * 100})
    backlog.write_now(lambda tx: outcome.mark_passing(tx, "ada", feature, token, evidence=proof))
    assert needed
    texts, read_steps, uri = "", list[str](), f"feature://{feature}"
    while True:
        page = await read(server, uri)
        texts += page.get("description", "")
        read_steps += page.get("steps", [])
        if "next" not in page:
            break
        uri = page["next"]
        assert uri.startswith(f"feature://{feature}?cursor=")
    assert texts == description
    assert "".join(read_steps) == "".join(steps)


@letters
async def test_lists_of_any_size_are_read_in_parts(server: Client, backlog: Database, alphabet: str) -> None:
    """The queue, the graph and the events fit in one answer; `next` continues the queue."""
    ids = add(backlog, 120, name=words(alphabet, 255), category=words(alphabet, 100))
    seen, uri = list[int](), "features://ready"
    while True:
        page = await read(server, uri)
        seen += [row["id"] for row in page["features"]]
        if "next" not in page:
            break
        uri = page["next"]
    assert len(set(seen)) == len(seen) == page["total"]
    assert set(ids) <= set(seen)
    graph = await read(server, "features://graph")
    assert re.search(r"\n%% not all of the \d+ features", graph)
    await read(server, "features://events")


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("feature://0", "number from 1"),
        ("feature://-1", "number"),
        ("feature://x", "number"),
        ("feature://", "number"),
        ("feature://1/2", "number"),
        ("feature://٣", "number"),
        (f"feature://{'9' * 400}", "number from 1"),
        ("feature://99999999", "no feature 99999999"),
        ("feature://1?cursor=", "cursor"),
        ("feature://1?cursor=x", "cursor"),
        ("feature://1?after=0-0", "parameter"),
        ("feature://1?cursor=0:0&cursor=0:0", "parameter"),
        ("feature://1?%", "parameter"),
        ("features://ready?cursor=0", "cursor"),
        ("features://events?after=1", "cursor"),
        ("features://events?after=0-0;", "cursor"),
        ("features://stats?by=agent", "no parameters"),
        ("features://nothing", "no such resource"),
        ("features://", "no such resource"),
        ("FEATURES://NOTHING", "no such resource"),
    ],
)
async def test_what_is_no_address_is_refused_in_words_of_ours(
    server: Client, backlog: Database, uri: str, says: str
) -> None:
    """An unknown resource, a bad id and a bad cursor get -32602, with a message that lists valid ones."""
    add(backlog)
    error = (await refused(server, uri)).error
    assert says in error.message
    assert error.data["uri"] == uri[:200]
    assert error.data["error"]["code"] in ("invalid_input", "not_found")


async def test_a_cursor_that_no_list_gave_is_refused(server: Client) -> None:
    """These lists have one page, so a cursor in the request gets -32602."""
    session = server.session
    for listing in (
        session.list_tools,
        session.list_prompts,
        session.list_resources,
        session.list_resource_templates,
    ):
        with pytest.raises(MCPError) as caught:
            await listing(params=PaginatedRequestParams(cursor="x"))
        assert caught.value.error.code == -32602
        await listing()


async def test_addresses_are_read_as_clients_write_them(server: Client, backlog: Database) -> None:
    """A scheme in capitals, a slash at the end and an escaped cursor make no difference."""
    (feature,) = add(backlog, description="d" * 9_000)
    whole = await server.call("feature_get_by_id", feature_id=feature)
    for uri in (f"FEATURE://{feature}", f"feature://{feature}/"):
        page = await read(server, uri)
        assert page["id"] == feature
    assert page["next"] == f"feature://{feature}?cursor={whole['next_cursor']}"
    escaped = page["next"].replace(":0", "%3A0").replace(":2", "%3A2")
    assert (await read(server, escaped))["description"]


async def test_every_role_reads_every_resource(serve: Any) -> None:
    """Every role can read every resource."""
    async with serve("--role", "viewer") as client:
        listed = (await client.session.list_resources()).resources
        assert len(listed) == 5
        for one in listed:
            await read(client, str(one.uri))
