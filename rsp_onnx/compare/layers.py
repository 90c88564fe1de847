"""Where relevance passes through two models: the share each tensor carries, where their tensors correspond."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.types import Record

_ENOUGH = 0.5  # of the shorter ledger: where fewer tensors correspond, the networks are not the same


def channels(dims: Sequence[Any]) -> int | None:
    """Return how many channels a tensor [N, ...] has; None where that is not known.

    The order of the axes is that of the framework, so the axis is told from the sizes: of three, the one that is not
    one of an equal pair, for maps are square more often than not; else the first.
    """
    own = [d for d in dims[1:] if isinstance(d, int)]
    if not own or len(own) != len(dims) - 1:
        return None
    if len(own) == 3 and own[0] == own[1] != own[2]:
        return own[2]
    return own[-1] if len(own) == 2 else own[0]  # tokens [T, D] have their channels last


def ledger_channels(explainer: Explainer, item: Feeds, names: Sequence[str]) -> list[int | None]:
    """Return the channels of the tensors of a ledger, by the sizes the graph has for this item."""
    # analysed once more: a compiled explainer's graph no longer knows the sizes of this item
    graph = explainer.analyse(item).graph
    known = graph.values
    return [channels(graph.dims(known[name])) if name in known else None for name in names]


def pair_rows(
    first: Sequence[str], second: Sequence[str], sizes: tuple[Sequence[int | None], Sequence[int | None]]
) -> tuple[list[tuple[str, str]], str]:
    """Return which tensors of two ledgers correspond, and how: ``names``, ``order`` or ``none``.

    By name where at least half of the shorter ledger's names are in both; else in order, where the numbers of channels
    agree.
    """
    least = _ENOUGH * min(len(first), len(second))
    known = set(second)
    same = [(name, name) for name in first if name in known]
    if same and len(same) >= least:
        return same, "names"
    blocks = SequenceMatcher(None, list(sizes[0]), list(sizes[1]), autojunk=False).get_matching_blocks()
    ordered = [
        (first[block.a + k], second[block.b + k])
        for block in blocks
        for k in range(block.size)
        if sizes[0][block.a + k] is not None
    ]
    if ordered and len(ordered) >= least:
        return ordered, "order"
    return [], "none"


@dataclass
class Profiles:
    """The share of the ledgers' sums each corresponding tensor carries, summed up over images; grows by no image."""

    pairs: list[tuple[str, str]] = field(default_factory=list)
    how: str = "none"
    count: int = 0
    sums: list[list[float]] = field(default_factory=list)

    def add(self, first: Mapping[str, float], second: Mapping[str, float]) -> None:
        """Add one image's ledgers (relevance sum by tensor)."""
        if not self.pairs:
            return
        self.sums = self.sums or [[0.0, 0.0] for _ in self.pairs]
        for side, ledger in enumerate((first, second)):
            magnitudes = [abs(ledger.get(pair[side], 0.0)) for pair in self.pairs]
            total = sum(magnitudes) or 1.0
            for row, magnitude in zip(self.sums, magnitudes, strict=True):
                row[side] += magnitude / total
        self.count += 1

    def rows(self) -> list[Record]:
        """Return per tensor pair the mean share in A and in B, in the ledger's order, from the section to the input."""
        return [
            {"a": a, "b": b, "share_a": x / self.count, "share_b": y / self.count}
            for (a, b), (x, y) in zip(self.pairs, self.sums, strict=True)
        ]

    def said(self) -> str:
        """Return one sentence about how the layers correspond."""
        if self.how == "none":
            return "The layers of the models do not correspond: neither names nor the order of their channels agree."
        by = "by name" if self.how == "names" else "by the order of their channels"
        return f"{len(self.pairs)} tensors correspond {by}."
