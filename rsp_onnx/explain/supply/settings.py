"""What the user of an explainer said, in plain words and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rsp_onnx.inputs.batching import Shapes


@dataclass(frozen=True)
class Settings:
    """What makes one explainer of a model differ from another; see ``Explainer``."""

    method: str = "rsp"
    output: str | None = None
    section: str | None = None
    region: str = "auto"
    class_axis: int | None = None
    class_rows: str = ""
    purge: bool = False
    split: float = 2.0
    signed_inputs: str = "clamp"
    ledger: bool = False
    label_count: int | None = None
    device: str = "auto"
    threads: int | None = None

    def of_key(self) -> Mapping[str, object]:
        """Return what a compiled explainer depends on; where it runs is said apart."""
        apart = ("device", "threads")
        return {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in apart}


@dataclass(frozen=True)
class Request:
    """What is compiled at once: the shapes of the inputs, and the tensors whose relevance is wanted too."""

    shapes: Shapes
    tensors: tuple[str, ...] = ()
