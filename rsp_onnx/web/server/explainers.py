"""The explainers used last: one per model and method, made and compiled when they are first asked for."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable

from rsp_onnx.compiler.section import layout_of
from rsp_onnx.errors import RspError
from rsp_onnx.explain.explainer import Explainer
from rsp_onnx.inputs.batching import shapes_of
from rsp_onnx.inputs.tensors import Feeds
from rsp_onnx.web.layers import tensors_reached

from .workers import Told

MOST_EXPLAINERS = 8


class ReadyExplainer:
    """An explainer with what is known of it: for which sizes it is compiled, and which maps of layers it gives.

    Attributes
    ----------
    reached : tuple of str, optional
        The tensors whose maps it can give, once somebody asked.
    channels : mapping
        Of each of them, the axis of its channels and its rank, the batch counted.
    """

    def __init__(self, explainer: Explainer) -> None:
        self.explainer = explainer
        self.reached: tuple[str, ...] | None = None
        self.channels: dict[str, tuple[int, int]] = {}
        self._compiled: set[object] = set()

    def get_ready(
        self, making: threading.Lock, told: Told, item: Feeds, *, layers: bool = False, targets: int | None = None,
        ledger: bool = False,
    ) -> None:  # fmt: skip
        """Compile for items of this size, while nobody else compiles, unless that is done.

        layers: with the maps of all of them; targets: how many classes, None for the one with the highest score.
        """
        size, several = (shapes_of(item), layers, ledger), None if targets is None else targets > 1
        if (size, several) in self._compiled:
            return
        if making.locked():
            told.say("waiting for what is being compiled")
        with told.holding(making):
            if layers and self.reached is None:
                told.say("looking where relevance goes")
                self._look(item)
            told.say(f"compiling {self.explainer.method}" + (" with the ledger" if ledger else ""))
            self.explainer.get_ready(item, (self.reached or ()) if layers else (), targets=targets, ledger=ledger)
        self._compiled.update({(size, several), (size, False)})  # a form for several classes serves one too

    def _look(self, item: Feeds) -> None:
        """Find the tensors whose maps can be asked for; none where the walk cannot be taken."""
        try:
            analysis = self.explainer.analyse(item)
        except RspError:
            self.reached = ()
            return
        values, names = analysis.graph.values, tensors_reached(analysis, self.explainer.method)
        own = {str(v.name) for node in analysis.model.ir.graph for v in node.outputs}
        self.reached = tuple(name for name in values if name in names and name in own)
        for name in self.reached:
            rank = len(analysis.graph.dims(values[name]))
            self.channels[name] = (layout_of(analysis.graph, values[name])[0], rank)


class Explainers:
    """At most so many explainers, the one used last kept longest. Safe to use from several threads.

    Attributes
    ----------
    making : threading.Lock
        Held while something is read or compiled: one at a time.
    """

    def __init__(self, most: int = MOST_EXPLAINERS) -> None:
        self.making = threading.Lock()
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], ReadyExplainer] = OrderedDict()

    def get(self, model: str, method: str, make: Callable[[str], Explainer], told: Told) -> ReadyExplainer:
        """Return a model's explainer of a method; where it is not kept, ``make(method)`` makes it."""
        found = self._found(model, method)
        if found is not None:
            return found
        with told.holding(self.making):
            found = self._found(model, method)
            if found is None:
                told.say("reading the model")
                found = ReadyExplainer(make(method))
                self.keep(model, method, found)
        return found

    def keep(self, model: str, method: str, explainer: ReadyExplainer) -> None:
        """Keep an explainer; the one that was not used for longest goes where there are too many."""
        with self._lock:
            self._kept[model, method] = explainer
            dropped = [self._kept.popitem(last=False)[1] for _ in range(len(self._kept) - self._most)]
        _collect(dropped)

    def drop(self, model: str) -> None:
        """Forget a model's explainers."""
        with self._lock:
            dropped = [self._kept.pop(key) for key in list(self._kept) if key[0] == model]
        _collect(dropped)

    def _found(self, model: str, method: str) -> ReadyExplainer | None:
        with self._lock:
            found = self._kept.get((model, method))
            if found is not None:
                self._kept.move_to_end((model, method))
            return found


def _collect(dropped: list[ReadyExplainer]) -> None:
    """Free what explainers held.

    Their graphs have circles, which wait for the collector; and the C library keeps what threads freed for itself,
    until it is told not to.
    """
    if dropped:
        dropped.clear()
        gc.collect()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
        if trim is not None:
            trim(0)
