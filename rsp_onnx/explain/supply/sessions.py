"""Sessions that are kept on the disk, and started from there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rsp_onnx.cache.entry import Entry
from rsp_onnx.model.ready import Ready
from rsp_onnx.model.session import Session

FILE = "model.onnx"


@dataclass(frozen=True)
class Kept:
    """How a session is started from the file of its model, see ``Ready``."""

    nodes: int
    optimised: bool
    level: str
    threads: int | None
    spinning: bool

    def as_json(self) -> dict[str, Any]:
        """Return it for an entry's facts."""
        return asdict(self)


def restarted(entry: Entry, device: str) -> Session:
    """Start a session as it was started when its model was kept.

    Raises
    ------
    BrokenEntryError, BadModel
        The entry is not what was written.
    """
    said, inline = entry.facts, list(entry.files) == [FILE]
    if not inline:
        entry.check()
    model = entry.read(FILE) if inline else entry.folder / FILE
    ready = Ready(model, said["nodes"], optimised=said["optimised"], level=said["level"])
    return Session(ready, device, said["threads"], spinning=said["spinning"])
