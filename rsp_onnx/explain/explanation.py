"""The result: relevance of one image for one class, and how to look at it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.files import save_npz, save_png
from rsp_onnx.inputs.classes import PRESENT, probabilities
from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.serving.account import Account
from rsp_onnx.serving.losses import Loss
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
    account : Account
        Where ``ledger`` and ``losses`` come from: computed with the map where the explainer has ``ledger=True``, else
        by one more run when they are first asked for.
    relevances : dict
        By input name, and of every tensor asked for, without the batch axis, in the graph's own layout.
    outputs : dict
        The model's own outputs, without the batch axis.
    warnings : tuple of str
        What the reader should know, such as a map that is zero everywhere.
    kind : str
        What the scores are: ``softmax``, ``log-softmax``, ``sigmoid``, ``logits``; empty where nobody said.
    inputs : tuple of str
        The explained inputs; relevance, heatmap and picture are the first's, all are in ``relevances``.
    tensor : ndarray, optional
        The explained input as the model was given it, without the batch axis.
    cached : bool
        The explainer that made it was read from the cache on the disk, not compiled anew.
    """

    relevance: Array
    heatmap: Array
    scores: Array
    target: int
    hostile: tuple[int, ...] = ()
    account: Account = field(default_factory=Account)
    relevances: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    photo: Image.Image | None = None
    geometry: Geometry | None = None
    provider: str = ""
    method: str = "rsp"
    kind: str = ""
    inputs: tuple[str, ...] = ()
    tensor: Array | None = None
    cached: bool = False

    @property
    def ledger(self) -> Mapping[str, float]:
        """Relevance sum at each tensor on the way from the section to the input, by name."""
        return self.account.get()[0]

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Nodes that make or lose more than a thousandth of Σ|R₀|, the relevance at the section, the largest first.

        Each with its node, op, what it gained (as a share) and the reason.
        """
        return self.account.get()[1]

    @property
    def predicted(self) -> int:
        """The class with the highest score."""
        return int(np.argmax(self.scores))

    @property
    def score(self) -> float:
        """The model's own score of the target."""
        return float(self.scores[self.target])

    @property
    def rank(self) -> int:
        """The target's place among the classes, the highest score first: 1 is what the model predicts."""
        return 1 + int(np.count_nonzero(self.scores > self.scores[self.target]))

    @property
    def is_predicted(self) -> bool:
        """Tell whether the model predicts the target: first of all, or present among several labels."""
        return self.rank == 1 or (self.kind == "sigmoid" and self.score > PRESENT)

    @property
    def probability(self) -> float | None:
        """How likely the model says the target is; of logits their softmax. None where nothing says what they are."""
        if not self.kind or (self.kind == "logits" and self.scores.size < 2):
            return None
        return float(probabilities(self.scores.astype(np.float64), self.kind)[self.target])

    @property
    def score_in_words(self) -> str:
        """The score called by what it is: "probability 0.930", "logit 23.6, softmax 0.930"."""
        chance = self.probability
        if chance is None:
            return f"score {self.score:.4g}"
        shown = f"{chance:.3f}" if chance >= 0.0005 or chance == 0 else f"{chance:.1e}"
        if self.kind == "logits":
            return f"logit {self.score:.4g}, softmax {shown}"
        return (
            f"log-probability {self.score:.4g}, probability {shown}"
            if self.kind == "log-softmax"
            else f"probability {shown}"
        )

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
    def can_be_drawn(self) -> bool:
        """Tell whether there is a picture of the map: it is not zero, and of a photo, a signal or a table."""
        return self.heatmap.ndim in (1, 2) and not self.is_zero

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
        """Draw photo, map and overlay with a colour bar; of signals and tables lines and bars in the map's colours.

        Raises
        ------
        BadInput
            The map has no axis or more than two, or is zero everywhere.
        """
        if self.heatmap.ndim not in (1, 2):
            raise BadInput(f"A map with {self.heatmap.ndim} axes cannot be drawn; use .relevance or .save('map.npz').")
        if self.is_zero:
            raise BadInput("The relevance is zero everywhere; there is nothing to draw (see .warnings).")
        from rsp_onnx.render.drawing import draw

        title, lines = self.headline()
        heatmap = self.heatmap_original
        return draw(heatmap, self.relevance, self.tensor, self.photo, title=title, lines=lines, label=self.label)

    def headline(self) -> tuple[str, list[str]]:
        """Return a picture's title, and the lines below it: the rivals, and which of several inputs is shown."""
        title = f"{self.label} · {self.score_in_words}"
        if not self.is_predicted:
            title += f" · rank {self.rank} of {self.scores.size}"
        rivals = " · ".join(self.hostile_labels)
        lines = [f"against: {rivals}"] if rivals else []
        if len(self.inputs) > 1:
            first, *others = self.inputs
            lines.append(f"the input {first}; the relevance of {' · '.join(others)} is in the arrays alone")
        return title, lines

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
        if not self.can_be_drawn:
            return None
        buffer = io.BytesIO()
        self.image().save(buffer, "PNG")
        return buffer.getvalue()

    def __repr__(self) -> str:
        against = f" against {' · '.join(self.hostile_labels)}" if self.hostile else ""
        sums = self.sums()
        return (
            f"<Explanation of {self.label!r} (class {self.target}, {self.score_in_words}){against}: "
            f"relevance {self.relevance.shape}, +{sums['positive']:.4g} {sums['negative']:.4g}>"
        )
