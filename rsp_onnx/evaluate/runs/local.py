"""The parts of a run in this process, one after the other, items read ahead by a thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow as pa

from .folder import table_of
from .plan import Ahead, Plan
from .worker import Worker

_DEPTH = 16  # items read ahead of the work


class LocalEngine:
    """Does parts with one worker."""

    def __init__(self, worker: Worker, plan: Plan, schema: pa.Schema) -> None:
        self.worker, self.plan, self.schema = worker, plan, schema

    def check(self) -> str:
        """Try every method on the first readable item; return the execution provider."""
        return self.worker.check(self.plan.all_items())

    def run(self, parts: Sequence[int]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number, rows) of each part as it is done."""
        ahead = Ahead((self.worker.load(i) for part in parts for i in self.plan.items(part)), _DEPTH)
        try:
            items = iter(ahead)
            for part in parts:
                rows = self.worker.rows(islice(items, len(self.plan.items(part))))
                yield part, table_of(rows, self.schema)
        finally:
            ahead.close()
