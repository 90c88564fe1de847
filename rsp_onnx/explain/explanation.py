"""The result: relevance of one image for one class, and how to look at it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from rsp_onnx.compiler.ledger import Loss
from rsp_onnx.errors import BadInput
from rsp_onnx.files import save_npz, save_png
from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.types import Array


@dataclass(frozen=True)
class Explanation:
    """Which pixels speak for a class (positive) and which for its rivals or the background (negative).

    Attributes
    ----------
    relevance : ndarray
        float32 [C, H, W] for images of either layout; for other inputs the input's shape without the batch.
    heatmap : ndarray
        float32 [H, W]: the sum over channels.
    scores : ndarray
        float32 [classes]: the model's own scores.
    target : int
    hostile : tuple of int
        Empty for the one-class form.
    ledger : dict
        Relevance sum at each tensor on the way from the section to the input, by name.
    losses : tuple of Loss
        Nodes that make or lose more than a thousandth of Σ|R₀|, the relevance at the section, the largest first: node,
        op, gained (its share), reason.
    relevances : dict
        By input name, and of every tensor asked for, without the batch axis, in the graph's own layout.
    outputs : dict
        The model's own outputs, without the batch axis.
    warnings : tuple of str
        What the reader should know, such as a map that is zero everywhere.
    """

    relevance: Array
    heatmap: Array
    scores: Array
    target: int
    hostile: tuple[int, ...] = ()
    ledger: Mapping[str, float] = field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    relevances: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    photo: Image.Image | None = None
    geometry: Geometry | None = None
    provider: str = ""
    method: str = "rsp"

    @property
    def predicted(self) -> int:
        """The class with the highest score."""
        return int(np.argmax(self.scores))

    @property
    def score(self) -> float:
        """The model's own score of the target."""
        return float(self.scores[self.target])

    @property
    def label(self) -> str:
        """The target's label."""
        return label_of(self.target, self.labels)

    @property
    def hostile_labels(self) -> tuple[str, ...]:
        """The hostile classes' labels."""
        return tuple(label_of(c, self.labels) for c in self.hostile)

    @property
    def is_zero(self) -> bool:
        """Tell whether the relevance is zero everywhere, so that there is nothing to draw."""
        return not bool(np.any(self.relevance))

    @property
    def heatmap_original(self) -> Array:
        """The heatmap laid exactly on the upright photo: float32 [H0, W0]; without a photo the heatmap itself."""
        if self.geometry is None:
            return self.heatmap
        return self.geometry.to_original(self.heatmap)

    def sums(self) -> dict[str, float]:
        """Return the total, the positive and the negative relevance."""
        exact = self.relevance.astype(np.float64)
        upper, lower = exact[exact > 0].sum(), exact[exact < 0].sum()
        return {"total": float(upper + lower), "positive": float(upper), "negative": float(lower)}

    def image(self) -> Image.Image:
        """Draw photo, map and overlay with a colour bar.

        Raises
        ------
        BadInput
            The map is not two-dimensional, or zero everywhere.
        """
        from rsp_onnx.render import figure

        if self.heatmap.ndim != 2:
            raise BadInput(f"A map with {self.heatmap.ndim} axes cannot be drawn; use .relevance or .save('map.npz').")
        if self.is_zero:
            raise BadInput("The relevance is zero everywhere; there is nothing to draw (see .warnings).")
        heatmap = self.heatmap_original
        photo = self.photo if self.photo is not None else _blank(heatmap)
        hostile = ", ".join(self.hostile_labels)
        lines = [f"against: {hostile}"] if hostile else []
        title = f"{self.label} · score {self.score:.3f}"
        return figure(photo, heatmap, title=title, lines=lines, label=self.label)

    def save(self, path: str | Path) -> None:
        """Write a picture (.png) or the arrays (.npz: relevance, heatmap, heatmap_original), whole or not at all.

        With several inputs, or tensors asked for, the .npz file also has ``relevance/<name>`` for each of them.

        Raises
        ------
        BadInput
            Another ending.
        BadOutput
            The place cannot be written.
        """
        ending = Path(path).suffix.lower()
        if ending == ".png":
            save_png(path, self.image())
        elif ending == ".npz":
            save_npz(path, **self._arrays())
        else:
            raise BadInput(f"{path}: an explanation is saved as .png (picture) or .npz (arrays).")

    def _arrays(self) -> dict[str, Array]:
        maps = {"relevance": self.relevance, "heatmap": self.heatmap, "heatmap_original": self.heatmap_original}
        more = self.relevances if len(self.relevances) > 1 else {}
        return maps | {f"relevance/{name}": r for name, r in more.items()}

    def _repr_png_(self) -> bytes | None:
        """Show the picture in a notebook."""
        if self.heatmap.ndim != 2 or self.is_zero:
            return None
        buffer = io.BytesIO()
        self.image().save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        against = f" against {', '.join(self.hostile_labels)}" if self.hostile else ""
        sums = self.sums()
        return (
            f"<Explanation of {self.label!r} (class {self.target}, score {self.score:.4g}){against}: "
            f"relevance {self.relevance.shape}, +{sums['positive']:.4g} {sums['negative']:.4g}>"
        )


def _blank(heatmap: Array) -> Image.Image:
    return Image.new("RGB", (heatmap.shape[1], heatmap.shape[0]), "white")
