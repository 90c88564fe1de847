"""A run as a report sees it: in shards or not, alone or beside others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rsp_onnx.evaluate.runs.folder import Store, parts_of
from rsp_onnx.evaluate.runs.settings import PART


@dataclass(frozen=True)
class Group:
    """One run, in shards or not: its name, its folders, what run.json says."""

    name: str
    stores: tuple[Store, ...]
    run: Mapping[str, Any]

    @property
    def parts(self) -> list[Path]:
        """The files with rows, in the run's order."""
        return parts_of(self.stores)

    def missing(self) -> int:
        """Return how many parts are not there: of a run not finished, or of shards not given."""
        info = self.run["fingerprint"]
        items = min(info["items"], info["limit"] or info["items"])
        wanted = range(-(-items // PART))
        if len(self.stores) == 1:
            index, count = self.run["fingerprint"]["shard"]
            wanted = wanted[index - 1 :: count]
        return len(wanted) - len(self.parts)


def prefix(group: Group, groups: Sequence[Group]) -> str:
    """Return what stands before a method's name where there are several runs."""
    return f"{group.name} · " if len(groups) > 1 else ""
