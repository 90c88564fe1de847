"""Which of a model's compiled variants runs: one sample and one class at a time, or any number of both."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rsp_onnx.errors import OutOfMemory
from rsp_onnx.inputs.batching import class_arrays, stacked
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.model.guard import LEVELS
from rsp_onnx.model.session import Session
from rsp_onnx.names import UNREACHED
from rsp_onnx.types import Array


@dataclass(frozen=True)
class VariantKey:
    """Which variant.

    Attributes
    ----------
    one_by_one : bool
        For one sample, and one class at a time; else for any number of both.
    ledger : bool
        With the outputs of the ledger.
    several : bool
        It takes any number of classes: where they come one by one, in a Loop; else one.
    """

    one_by_one: bool
    ledger: bool
    several: bool = True


@dataclass(frozen=True)
class Variant:
    """A compiled variant.

    Attributes
    ----------
    key : VariantKey
    batch : int or None
        How many samples it takes at once; None for any number.
    ledger, balance
        What the rows of these outputs are: tensors; nodes and their ops.
    unreached : tuple of str
        Inputs no relevance reaches.
    reasons : mapping
        By op of the balance, when its rule may make or lose relevance.
    cached : bool
        It was read from the cache on the disk.
    """

    session: Session
    key: VariantKey
    batch: int | None
    ledger: tuple[str, ...] = ()
    balance: tuple[tuple[str, str], ...] = ()
    unreached: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    method: str = "rsp"
    cached: bool = False

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Run once. ``target`` and ``hostile`` may be given where it reads none: a method may know no rivals."""
        unread = {"target", "hostile"}.difference(self.session.inputs)
        return self.session.run({name: array for name, array in feeds.items() if name not in unread}, outputs)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of every map must know of it: inputs left out, optimisations that were."""
        says = [f"no relevance reaches the input {name!r} with {self.method}" for name in self.unreached]
        if self.session.level != LEVELS[0]:
            crashes = "ONNX Runtime crashes where it optimises this explainer fully, so it runs at"
            says.append(f"{crashes} {self.session.level}")
        if self.session.note:
            says.append(self.session.note)
        return tuple(says)


def variant_of(session: Session, key: VariantKey, metadata: Mapping[str, str], batch: int | None) -> Variant:
    """Return a session with what the metadata of its model say of its outputs."""
    ledger, balance = (json.loads(metadata.get(f"rsp_onnx.{name}", "[]")) for name in ("ledger", "balance"))
    unreached = json.loads(metadata.get(UNREACHED, "[]"))
    rows = tuple((name, op) for name, op in balance)
    return Variant(session, key, batch, tuple(ledger), rows, tuple(unreached), method=metadata["rsp_onnx.method"])


@dataclass(frozen=True)
class Run:
    """The results of one run, and which of the items they are for."""

    part: slice
    variant: Variant
    results: dict[str, Array]


class Serving:
    """The variants of one input size, each compiled when it is first needed. Safe to use from several threads.

    Parameters
    ----------
    make : callable
        Compiles a variant.
    key : VariantKey
        Of the variant that runs.
    """

    def __init__(self, make: Callable[[VariantKey], Variant], key: VariantKey) -> None:
        self._make, self._key = make, key
        self._wide = {ledger: replace(key, ledger=ledger or key.ledger, several=True) for ledger in (False, True)}
        self._narrow = {ledger: replace(wide, several=not key.one_by_one) for ledger, wide in self._wide.items()}
        self._lock = threading.Lock()
        self._variants: dict[VariantKey, Variant] = {}

    def variant(self, *, ledger: bool = False, several: bool = False) -> Variant:
        """Return the variant that runs; with the ledger's outputs, for several classes, where they are asked for.

        The variant for one class is faster by a tenth. Where the one for several is there already, it serves both: a
        second session takes the weights' memory again.
        """
        with self._lock:
            key = self._wide[ledger] if several or self._wide[ledger] in self._variants else self._narrow[ledger]
            if key not in self._variants:
                self._variants[key] = self._make(key)
            return self._variants[key]

    def runs(
        self, items: Sequence[Feeds], targets: Sequence[Sequence[int]], rivals: Sequence[Sequence[Sequence[int]]],
        *, ledger: bool = False,
    ) -> Iterator[Run]:  # fmt: skip
        """Run items of one size, as many at once as the variant takes; where memory runs out, half as many, once."""
        variant = self.variant(ledger=ledger, several=any(len(classes) != 1 for classes in targets))
        step = variant.batch or len(items)
        for start in range(0, len(items), step):
            part = slice(start, min(start + step, len(items)))
            try:
                yield _run(variant, part, items, targets, rivals)
            except OutOfMemory:
                if variant.batch or part.stop - part.start == 1:
                    raise
                middle = (part.start + part.stop + 1) // 2
                for half in (slice(part.start, middle), slice(middle, part.stop)):
                    yield _run(variant, half, items, targets, rivals)

    def outputs(self, items: Sequence[Feeds], names: Sequence[str]) -> list[dict[str, Array]] | None:
        """Return the model's own outputs for each item; None where the variant needs a class to run.

        A Loop over no class costs the forward pass and what the maps of all classes share.
        """
        if not self._key.one_by_one:
            return None
        variant = self.variant(several=True)
        none = {"target": np.zeros((0, 1), np.int64), "hostile": np.zeros((0, 1, 0), np.int64)}
        return [variant.run({**feeds, **none}, names) for feeds, _ in stacked(items, variant.batch)]

    @property
    def provider(self) -> str:
        """The execution provider in use, once something was compiled."""
        return next((variant.session.provider for variant in self._variants.values()), "")

    @property
    def threads(self) -> int | None:
        """How many threads the variant that runs has within one op; None for as many as cores."""
        return self.variant().session.threads


def _run(
    variant: Variant, part: slice, items: Sequence[Feeds], targets: Sequence[Sequence[int]],
    rivals: Sequence[Sequence[Sequence[int]]],
) -> Run:  # fmt: skip
    """Run the items of one part at once."""
    ((feeds, _),) = stacked(items[part], variant.batch)
    size = variant.batch or next(x.shape[0] for x in feeds.values() if x.ndim)
    target, hostile = class_arrays(targets[part], rivals[part], size)
    return Run(part, variant, variant.run({**feeds, "target": target, "hostile": hostile}))
