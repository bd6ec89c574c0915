"""Marks evidence as stale if the reader's files differ from the files that were verified."""

from __future__ import annotations

from pathlib import Path

from dibs.git_tree import git_tree
from dibs_schema.answers import Feature

SECONDS = 5.0
"""Seconds for git. After them nothing is said."""


def judged(feature: Feature, folder: Path) -> Feature:
    """Return a feature whose evidence is marked as stale if the folder has another tree than its verification."""
    if feature.verification is None or feature.verification.tree is None:
        return feature
    tree = git_tree(folder, SECONDS)
    return feature.model_copy(update={"evidence_is_stale": tree is not None and tree != feature.verification.tree})
