"""The methods of a planner, and those that speak with people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from dibs.client.calls import Calls
from dibs_schema.answers import Acknowledgement, Asked, Created
from dibs_schema.inputs import NewFeature, Question


class Planning(Calls):
    """What a planner does: fills the backlog, orders it, repairs it, and answers."""

    async def create(
        self,
        category: str,
        name: str,
        description: str,
        steps: Sequence[str],
        priority: int | None = None,
        dependencies: Sequence[int] | None = None,
        paths: Sequence[str] | None = None,
        request_id: str | None = None,
    ) -> Created:
        """Add a feature; `steps` say how to check it, a lower `priority` is sooner.

        `paths` are globs of the files that it changes: it is not claimed beside others on them.
        `request_id` is made up where none is given. Raises InvalidInput, NotFound, TooManyDependencies.
        """
        return await self._ask(
            Created,
            "feature_create",
            category=category,
            name=name,
            description=description,
            steps=steps,
            priority=priority,
            dependencies=dependencies,
            paths=paths,
            request_id=request_id or uuid4().hex,
        )

    async def create_many(self, features: Sequence[NewFeature], request_id: str | None = None) -> Created:
        """Add 1 to 1,000 features, all or none; the ids are in their order.

        `depends_on_indices` of each point into this batch. Raises InvalidInput, WouldCycle and the like.
        """
        return await self._ask(
            Created, "feature_create_bulk", features=features, request_id=request_id or uuid4().hex
        )

    async def update(
        self,
        feature_id: int,
        category: str | None = None,
        name: str | None = None,
        description: str | None = None,
        steps: Sequence[str] | None = None,
        priority: int | None = None,
        paths: Sequence[str] | None = None,
        archived: bool | None = None,
        retry: bool = False,
        confirm: bool = False,
    ) -> Acknowledgement:
        """Change texts, priority or `paths` (none: []), archive, restore, put a stuck one back (`retry`), `confirm` a pass.

        The last is for a project that asks for another agent's confirmation, and has none.
        Raises NotFound, AlreadyClaimed, InvalidInput.
        """
        return await self._ask(
            Acknowledgement,
            "feature_update",
            feature_id=feature_id,
            category=category,
            name=name,
            description=description,
            steps=steps,
            priority=priority,
            paths=paths,
            archived=archived,
            retry=retry,
            confirm=confirm,
        )

    async def add_dependency(self, feature_id: int, dependency_id: int) -> Acknowledgement:
        """Let `feature_id` wait until `dependency_id` passes. Raises WouldCycle, TooManyDependencies, NotFound."""
        return await self._edge("feature_add_dependency", feature_id, dependency_id=dependency_id)

    async def remove_dependency(self, feature_id: int, dependency_id: int) -> Acknowledgement:
        """Let `feature_id` no longer wait for `dependency_id`. Raises NotFound."""
        return await self._edge("feature_remove_dependency", feature_id, dependency_id=dependency_id)

    async def set_dependencies(self, feature_id: int, dependency_ids: Sequence[int]) -> Acknowledgement:
        """Replace everything that `feature_id` waits for. Raises as `add_dependency` does."""
        return await self._edge("feature_set_dependencies", feature_id, dependency_ids=dependency_ids)

    async def _edge(self, tool: str, feature_id: int, **other: Any) -> Acknowledgement:
        return await self._ask(Acknowledgement, tool, feature_id=feature_id, **other)

    async def ask_user(
        self, questions: Sequence[Question] | None = None, question_id: int | None = None
    ) -> Asked:
        """Ask the user 1 to 4 multiple-choice questions, or read what became of `question_id`. Raises NotFound."""
        return await self._ask(Asked, "ask_user", questions=questions, question_id=question_id)

    async def answer_person(
        self,
        feature_id: int | None = None,
        question_id: int | None = None,
        answers: Mapping[str, Any] | None = None,
        cancel: bool = False,
    ) -> Acknowledgement | Asked:
        """Give a person's answers to a waiting feature or to a question of `ask_user`, or cancel it.

        Raises NotWaitingForHuman, InvalidInput.
        """
        return await self._ask_either(
            Acknowledgement,
            Asked,
            "feature_answer_human_input",
            feature_id=feature_id,
            question_id=question_id,
            answers=answers,
            cancel=cancel,
        )
