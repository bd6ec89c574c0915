"""A method for every operation, with its parameters; and nothing is loaded before it is used."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

from dibs.client import Backlog, SyncBacklog
from dibs_schema.evidence import CommandRun
from dibs_schema.inputs import NewFeature, Option
from dibs_schema.operations import OPERATIONS, AnyOperation, argument_name
from dibs_schema.refusals import InvalidInput

EACH = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.method)


@EACH
def test_a_method_is_its_operation(operation: AnyOperation) -> None:
    """Both classes have each operation as a documented attribute, and neither overrides it."""
    assert getattr(Backlog, operation.method) is operation
    assert getattr(SyncBacklog, operation.method) is operation
    assert operation.description
    assert [argument_name(name) for name in operation.signature.parameters] == operation.parameters


def test_a_method_takes_its_arguments_by_place_and_by_name(tmp_path: object) -> None:
    """A method has the parameters of the operation's input model, and refuses others."""
    with SyncBacklog.open(db=f"{tmp_path}/features.db") as backlog:
        assert backlog.create("core", "by place", "d", ["s"]).ids == [1]
        assert backlog.create(category="core", name="by name", description="d", steps=["s"]).ids == [2]
        assert backlog.get(2).name == "by name"
        with pytest.raises(TypeError, match="colour"):
            backlog.get(1, colour="red")  # type: ignore[call-arg]  # which is what is tried
        with pytest.raises(TypeError, match="feature_id"):
            backlog.get()  # type: ignore[call-arg]  # likewise


def test_objects_are_dicts_or_models(tmp_path: object) -> None:
    """Methods take plain dicts and models, in any mix, and type checkers accept both."""
    texts = {"category": "core", "description": "what it does", "steps": ["look"]}
    with SyncBacklog.open(db=f"{tmp_path}/features.db") as backlog:
        first = {**texts, "name": "first", "key": "first"}
        assert backlog.create_many([first, {**texts, "name": "second", "depends_on": ["first"]}]).ids == [1, 2]
        model = NewFeature(category="core", name="third", description="d", steps=["s"])
        assert (
            backlog.create_many([model, {"category": "c", "name": "n", "description": "d", "steps": ["s"]}]).count == 2
        )
        with pytest.raises(InvalidInput, match=r"features\[0\]\.name: is required"):
            backlog.create_many([texts])
        question = {"question": "Which?", "header": "Which", "options": ["this", Option(label="that")]}
        assert backlog.ask_user([question]).state == "open"
        with backlog.claim(1) as feature:
            feature.evidence = {"commands": [CommandRun(command="make", exit_code=0)]}
        assert backlog.get(1).evidence == {"commands": [{"command": "make", "exit_code": 0}]}
        backlog.take(2)
        assert backlog.ask_person(2, "Which?", [{"id": "which", "label": "Which one?"}]).status == "needs_human"
        backlog.take(3)
        assert backlog.mark_passing(3, evidence={"summary": "seen"}).evidence


def test_what_is_no_operation_is_in_both_kinds_too() -> None:
    """The constructors, blocks and event streams have the same parameters in both classes.

    Only `claim` has no `timeout` without an event loop, since nothing can interrupt such a block.
    """
    for name in ("open", "start", "connect", "claim", "holds", "follow"):
        there, here = getattr(Backlog, name), getattr(SyncBacklog, name)
        expected = [one for one in inspect.signature(there).parameters if (name, one) != ("claim", "timeout")]
        assert list(inspect.signature(here).parameters) == expected, name


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import dibs.client", ("sqlalchemy", "alembic", "mcp", "pydantic", "anyio")),
        ("import dibs.client.pytest_plugin", ("sqlalchemy", "mcp", "pydantic", "anyio")),
        ("from dibs.client import Backlog, SyncBacklog", ("sqlalchemy", "alembic", "mcp")),
        ("import dibs.client.links", ("sqlalchemy", "alembic")),
    ],
)
def test_nothing_is_loaded_before_it_is_needed(code: str, absent: tuple[str, ...]) -> None:
    """An import of the client loads neither the database's library nor most of the protocol's."""
    program = f"import sys; {code}; print([name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
