"""The result: relevance of one image for one class, and how to look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.files import save_bytes, save_npz, save_png
from rsp_onnx.inputs.classes import PRESENT, probabilities
from rsp_onnx.inputs.geometry import Geometry
from rsp_onnx.inputs.labels import label_of
from rsp_onnx.render.canvas import Page
from rsp_onnx.render.page import as_png
from rsp_onnx.render.vector import vector
from rsp_onnx.serving.account import Account
from rsp_onnx.serving.losses import Loss
from rsp_onnx.types import Array

from .pictures.heading import heading
from .pictures.html import html_of
from .pictures.names import Names
from .pictures.shown import subject_of, undrawn


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
    names : Names
        What pictures call tokens and columns.
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
    names: Names = field(default_factory=Names)

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
        """Tell whether there is a picture of the map: it is not zero, and has one to three axes."""
        return not undrawn(self)

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

    def page(self, layout: str = "triple") -> Page:
        """Lay out the picture that ``image`` and ``save`` draw; BadInput as of ``image``."""
        if why := undrawn(self):
            raise BadInput(why)
        from rsp_onnx.render.drawing import draw

        return draw(subject_of(self), heading(self), layout)

    def image(self, layout: str = "triple") -> Image.Image:
        """Draw the map with a colour bar.

        Photographs with their map and an overlay; signals and tables as lines and bars, tokens as words in the map's
        colours, planes such as spectrograms with numbered axes, volumes as slices.

        Parameters
        ----------
        layout : {"triple", "pair", "overlay"}
            Of photographs, planes and volumes: input, map and overlay; input and overlay; the overlay alone.

        Raises
        ------
        BadInput
            The map has no axis or more than three, or is zero everywhere; or there is no such layout.
        """
        return self.page(layout).image()

    def headline(self) -> tuple[str, list[str]]:
        """Return a picture's title, and the lines below it: the rivals, the method, which of several inputs."""
        said = heading(self)
        against = [f"against {' · '.join(said.rivals)}"] if said.rivals else []
        return said.about[0], [*against, *said.lines]

    def save(self, path: str | Path, layout: str = "triple") -> None:
        """Write a picture (.png, .svg, .pdf) or the arrays (.npz), whole or not at all.

        In .svg and .pdf words are words and maps are embedded pictures. The .npz file has ``relevance``, ``heatmap``
        and ``heatmap_original``; with several inputs, or tensors asked for, ``relevance/<name>`` for each of them too.

        Raises
        ------
        BadInput
            Another ending, or as of ``image``.
        BadOutput
            The place cannot be written.
        """
        ending = Path(path).suffix.lower()
        if ending == ".npz":
            save_npz(path, **self._arrays())
        elif ending == ".png":
            save_png(path, self.image(layout))
        elif ending in (".svg", ".pdf"):
            save_bytes(path, vector(self.page(layout), ending[1:]))
        else:
            raise BadInput(f"{path}: an explanation is saved as .png, .svg or .pdf (picture) or .npz (arrays).")

    def _arrays(self) -> dict[str, Array]:
        maps = {"relevance": self.relevance, "heatmap": self.heatmap, "heatmap_original": self.heatmap_original}
        more = self.relevances if len(self.relevances) > 1 else {}
        return maps | {f"relevance/{name}": r for name, r in more.items()}

    def _repr_html_(self) -> str:
        """Show class, map and a slider in a notebook."""
        return html_of([self])

    def _repr_png_(self) -> bytes | None:
        """Show the picture where a notebook shows no HTML."""
        return as_png(self.image()) if self.can_be_drawn else None

    def __repr__(self) -> str:
        against = f" against {' · '.join(self.hostile_labels)}" if self.hostile else ""
        sums = self.sums()
        return (
            f"<Explanation of {self.label!r} (class {self.target}, {self.score_in_words}){against}: "
            f"relevance {self.relevance.shape}, +{sums['positive']:.4g} {sums['negative']:.4g}>"
        )
