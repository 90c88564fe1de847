"""Nodes that do not hand on the relevance they got."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOTICED = 1e-3  # of the relevance at the start, in absolute value: what a node may make or lose unmentioned


@dataclass(frozen=True)
class Loss:
    """A node that does not hand on what it got.

    Attributes
    ----------
    gained : float
        Relevance of its inputs minus relevance of its outputs, as a share of Σ|R₀|, the relevance at the start.
    reason : str
        Why an op of this kind may do so.
    """

    node: str
    op: str
    gained: float
    reason: str


def losses(balance: Mapping[str, tuple[str, float]], mass: float, reasons: Mapping[str, str]) -> tuple[Loss, ...]:
    """Return the nodes that made or lost more than ``NOTICED``, the largest first.

    Parameters
    ----------
    balance : mapping
        By node name: its op, and what it gained.
    mass : float
        Σ|R₀|.
    reasons : mapping
        By op, when its rule may do so.
    """
    if not mass > 0:
        return ()
    gains = [Loss(n, op, gained / mass, reasons.get(op, "")) for n, (op, gained) in balance.items()]
    return tuple(sorted((f for f in gains if abs(f.gained) > NOTICED), key=lambda f: -abs(f.gained)))
