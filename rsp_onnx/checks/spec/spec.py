"""What a SPEC file says: the model, how photos reach it, the images, and what is expected of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

from rsp_onnx.inputs.classes import Choice

from .lines import Lines, line_of
from .places import Box, Place, read_place

Expectation: TypeAlias = "float | bool"


@dataclass(frozen=True)
class ImageSpec:
    """One golden image.

    Attributes
    ----------
    name : str
        Its path as SPEC has it, with forward slashes: the same on every machine.
    path : Path
        Where it is.
    target : str or int, optional
        A label or an index; by default the class that was predicted when the image was recorded.
    hostile : str, int or list, optional
        What the map is asked against; SPEC's own where the image says nothing.
    line : int
        Where it stands in SPEC.
    """

    name: str
    path: Path
    target: str | int | None = None
    hostile: Choice | None = None
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    line: int = 1

    @property
    def has_place(self) -> bool:
        """Whether SPEC says where the target is."""
        return bool(self.boxes) or self.mask is not None

    def place(self, target: int) -> Place | None:
        """Return where the target is, on the upright photo."""
        return read_place(self.path, target, self.boxes, self.mask)


@dataclass(frozen=True)
class FolderSpec:
    """A dataset of `rsp-onnx evaluate` that the pointing game is played on.

    Attributes
    ----------
    limit : int
        The first that many items.
    """

    data: Path
    format: str
    mapping: Path | None = None
    limit: int = 50
    line: int = 1


@dataclass(frozen=True)
class Spec:
    """A SPEC file, read, without fault.

    Attributes
    ----------
    expect : mapping
        By check: its threshold, True (the default) or False (off). Checks not named keep their default.
    lines : mapping
        Where each key stands.
    reading : mapping
        How the scores are read, and sizes the model leaves free: further arguments of ``Explainer``.
    has_own_preprocess : bool
        The preprocessing was given beside SPEC, for this model.
    """

    path: Path
    model: Path
    images: tuple[ImageSpec, ...]
    labels: Path | None = None
    preprocess: str | Mapping[str, Any] | None = None
    method: str = "rsp"
    hostile: Choice = "auto"
    section: str | None = None
    goldens: Path = Path()
    folder: FolderSpec | None = None
    expect: Mapping[str, Expectation] = field(default_factory=dict)
    lines: Lines = field(default_factory=dict)
    has_own_preprocess: bool = False
    reading: Mapping[str, Any] = field(default_factory=dict)

    def line(self, *path: str | int) -> int:
        """Return the line of a key, else of what holds it, else 1."""
        return line_of(self.lines, path)

    def hostile_of(self, image: ImageSpec) -> Choice:
        """Return what an image's map is asked against."""
        return self.hostile if image.hostile is None else image.hostile

    def with_model(self, model: str | Path | None, preprocess: str | Path | None) -> Spec:
        """Return the same expectations of another model, or of other preprocessing."""
        spec = self if model is None else replace(self, model=Path(model))
        if preprocess is None:
            return spec
        return replace(spec, preprocess=str(preprocess), has_own_preprocess=True)
