"""Which items a run has, in which order and in which parts; and reading them ahead of the work."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from .settings import PART, Settings

T = TypeVar("T")


class Plan:
    """The run's items as parts of ``PART`` each; a shard has some of the run's parts, under their numbers."""

    def __init__(self, settings: Settings, size: int) -> None:
        order = np.arange(size)
        self.shuffled = settings.seed is not None and settings.limit is not None
        if self.shuffled:
            order = np.random.default_rng(settings.seed).permutation(size)
        self._order = order[: settings.limit]
        index, count = settings.shard
        self.parts: tuple[int, ...] = tuple(range(-(-len(self._order) // PART)))[index - 1 :: count]

    def items(self, part: int) -> list[int]:
        """Return the dataset's indices of a part's items."""
        return [int(i) for i in self._order[part * PART : (part + 1) * PART]]

    def all_items(self) -> list[int]:
        """Return the dataset's indices of all items of this shard, in the run's order."""
        return [index for part in self.parts for index in self.items(part)]


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class Ahead(Generic[T]):
    """Iterate over what a thread produces ahead of time, at most ``depth`` of them waiting; close() ends the thread."""

    def __init__(self, source: Iterable[T], depth: int) -> None:
        self._queue: queue.Queue[T | _Failure | None] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(source,), name="rsp-onnx-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while (one := self._queue.get()) is not None:
            if isinstance(one, _Failure):
                raise one.error
            yield one

    def close(self) -> None:
        """End the thread; what it has produced is dropped."""
        self._stopped.set()
        self._thread.join()

    def _produce(self, source: Iterable[T]) -> None:
        try:
            for one in source:
                if not self._put(one):
                    return
            self._put(None)
        except BaseException as error:  # it is raised again where the results are wanted
            self._put(_Failure(error))

    def _put(self, one: T | _Failure | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(one, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
