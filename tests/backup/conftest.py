"""What these tests share: places on both engines, and pairs of them."""

from __future__ import annotations

from moving.conftest import new_place, pair

__all__ = ["new_place", "pair"]
