"""All checks there are, group by group: whoever adds a module of checks names it here."""

from __future__ import annotations

from . import behaviour, costs, maps, model, places, scores  # noqa: F401  # importing them registers their checks
from .base import CHECKS, Check

GROUPS = ("model", "scores", "maps", "places", "behaviour", "costs")


def ordered() -> list[Check]:
    """Return all checks, group by group."""
    return sorted(CHECKS.values(), key=lambda one: GROUPS.index(one.group))
