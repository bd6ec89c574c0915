"""A batch of features to create, checked on its own before the transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from dibs.database.compiled import JSONText
from dibs_schema.file_areas import Area, areas_of
from dibs_schema.folding import folded
from dibs_schema.inputs import InvalidEntry, NewFeature
from dibs_schema.next_step import Step
from dibs_schema.refusals import InvalidInput, Refusal, WouldCycle

CORRECTED = Step("feature_create_bulk", purpose="after you have corrected this", needs=("features",))
SHOWN = 10
"""Problems of a batch that one refusal names."""


@dataclass(frozen=True, slots=True)
class NewRow:
    """A feature as it will be stored, as far as that is known before the transaction: its `columns`, and its areas.

    Other servers wait during a transaction, so texts are folded and lists are serialized before it.
    """

    columns: dict[str, Any]
    areas: list[Area]

    @classmethod
    def of(cls, columns: dict[str, Any]) -> NewRow:
        """Return the row of a feature from its columns, with `steps` and `paths` as lists."""
        steps, paths = columns["steps"], columns["paths"]
        as_text = {"steps": JSONText.of(steps), "paths": JSONText.of(paths) if paths else None}
        return cls({**columns, **as_text, **folded(columns)}, areas_of(paths or ()))


_GIVEN = {"category", "name", "description", "steps", "priority", "paths"}


@dataclass(slots=True)
class Batch:
    """The entries of a batch, known by their places from 0.

    `rows` has the valid entries as they will be stored, `within` the places in the batch that each of them depends on,
    and `refused` the refusals of the others.
    """

    entries: Sequence[NewFeature | InvalidEntry]
    rows: dict[int, NewRow] = field(default_factory=dict)
    within: dict[int, list[int]] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)

    def valid(self) -> dict[int, NewFeature]:
        """Return the entries that are not refused, by their places."""
        return {
            place: one
            for place, one in enumerate(self.entries)
            if place not in self.refused and isinstance(one, NewFeature)
        }

    def refuse(self) -> NoReturn:
        """Raise the only refusal, or a refusal that names every problem."""
        places = sorted(self.refused)
        if len(set(self.refused.values())) == 1:
            raise self.refused[places[0]]
        facts = dict.fromkeys(self.refused[place].fact.removesuffix(" Nothing was created.") for place in places)
        more = f" {len(facts) - SHOWN} more problems." if len(facts) > SHOWN else ""
        raise InvalidInput(
            f"{' '.join(list(facts)[:SHOWN])}{more} Nothing was created.",
            next=[CORRECTED],
            field=f"features[{places[0]}]",
            fields=[f"features[{place}]" for place in places[:SHOWN]],
        )

    def refuse_dependents(self) -> None:
        """Refuse the entries that depend on refused ones."""
        found = True
        while found:
            found = False
            for place, others in self.within.items():
                cause = next((one for one in others if one in self.refused), None)
                if cause is not None and place not in self.refused:
                    fact = f"features[{place}]: depends on features[{cause}], which was not created."
                    self.refused[place] = InvalidInput(fact, field=f"features[{place}]")
                    found = True


def check_batch(entries: Sequence[NewFeature | InvalidEntry]) -> Batch:
    """Find what the entries of a batch depend on within it, and which of them are invalid."""
    batch = Batch(entries)
    keys: dict[str, int] = {}
    for place, one in enumerate(entries):
        if isinstance(one, InvalidEntry):
            batch.refused[place] = InvalidInput(f"features[{place}]{one.problem}", field=f"features[{place}]")
        elif one.key is not None and keys.setdefault(one.key, place) != place:
            path = f"features[{place}].key"
            fact = f"{path}: features[{keys[one.key]}] has the same key. Nothing was created."
            batch.refused[place] = InvalidInput(fact, next=[CORRECTED], field=path)
    for place, one in batch.valid().items():
        try:
            batch.within[place] = _dependencies_within(place, one, len(entries), keys)
        except Refusal as refusal:
            batch.refused[place] = refusal
    while (path_of_cycle := find_cycle(_edges(batch.within))) is not None:
        shown = " -> ".join(f"#{place}" for place in path_of_cycle[:12]) + (" -> …" if len(path_of_cycle) > 12 else "")
        cycle = WouldCycle(
            f"The batch depends on itself: {shown} (indices). Nothing was created.",
            next=[CORRECTED],
            path=path_of_cycle[:50],
            length=len(path_of_cycle) - 1,
        )
        for place in path_of_cycle:
            batch.refused[place] = cycle
            batch.within.pop(place, None)
    batch.rows = {place: NewRow.of(one.model_dump(include=_GIVEN)) for place, one in batch.valid().items()}
    return batch


def _dependencies_within(place: int, one: NewFeature, count: int, keys: Mapping[str, int]) -> list[int]:
    others = []
    for index in one.depends_on_indices:
        if index >= count:
            path = f"features[{place}].depends_on_indices"
            raise InvalidInput(
                f"{path}: {index} is outside the batch of {count} (0 is the first). Nothing was created.", field=path
            )
        others.append(index)
    for key in one.depends_on:
        if key not in keys:
            path = f"features[{place}].depends_on"
            raise InvalidInput(
                f"{path}: no entry of this batch has the key {key[:60]!r}. Nothing was created.",
                next=[CORRECTED],
                field=path,
            )
        others.append(keys[key])
    if place in others:
        raise WouldCycle(
            f"features[{place}] depends on itself: #{place} -> #{place}. Nothing was created.",
            next=[CORRECTED],
            path=[place, place],
        )
    return list(dict.fromkeys(others))


def _edges(within: Mapping[int, Sequence[int]]) -> Iterable[tuple[int, int]]:
    return ((place, other) for place, others in within.items() for other in others if other in within)


def find_cycle(edges: Iterable[tuple[int, int]]) -> list[int] | None:
    """Return the ids along a cycle of the edges, with the first id repeated at the end, or None."""
    following: dict[int, list[int]] = {}
    for one, other in edges:
        following.setdefault(one, []).append(other)
    done: set[int] = set()
    for start, targets in following.items():
        path = {start: iter(targets)} if start not in done else {}  # each node with its untried edges
        while path:
            node = next(reversed(path))
            step = next(path[node], None)
            if step is None:
                del path[node]
                done.add(node)
            elif step in path:
                nodes = list(path)
                return [*nodes[nodes.index(step) :], step]
            elif step not in done:
                path[step] = iter(following.get(step, ()))
    return None
