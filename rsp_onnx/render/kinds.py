"""What kind of input a map is of, which decides how it is drawn: in files, in notebooks and on pages alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

import numpy as np
from PIL import Image

from rsp_onnx.types import Array

Kind: TypeAlias = "Literal['photo', 'image', 'signal', 'tokens', 'table', 'volume', 'other']"


class Mapped(Protocol):
    """What has a map, such as an ``Explanation``."""

    @property
    def relevance(self) -> Array:
        """Of the explained input, channels first."""

    @property
    def heatmap(self) -> Array:
        """Its sum over the channels."""

    @property
    def heatmap_original(self) -> Array:
        """The map of the photo's pixels; without a photo the heatmap."""

    @property
    def photo(self) -> Image.Image | None:
        """The photograph, where there is one."""

    @property
    def tensor(self) -> Array | None:
        """What the model was given."""


@dataclass(frozen=True)
class Subject:
    """What is drawn; a ``Mapped`` of its own.

    Attributes
    ----------
    vocabulary : mapping, optional
        A token's word by its id.
    columns : sequence of str
        What the entries of a table are called; empty where nobody said.
    axes : tuple of str
        What the rows and columns of a plane are called.
    """

    relevance: Array
    heatmap: Array
    heatmap_original: Array
    tensor: Array | None = None
    photo: Image.Image | None = None
    vocabulary: Mapping[int, str] | None = None
    columns: Sequence[str] = ()
    axes: tuple[str, str] = ("row", "column")

    @property
    def words(self) -> list[str]:
        """What each token is called: its word, ``[id]`` where the vocabulary has none, or the id."""
        ids = [int(i) for i in np.ravel(self.tensor)] if self.tensor is not None else []
        if self.vocabulary is None:
            return [str(i) for i in ids]
        return [self.vocabulary.get(i, f"[{i}]") for i in ids]

    def channels_first(self) -> Subject:
        """Return it with the channels of relevance and tensor in front; without a tensor that is of another shape."""
        places, wanted = self.heatmap.shape, self.relevance.shape
        tensor, relevance = self.tensor, self.relevance
        if tensor is not None and tensor.ndim == 3 and tensor.shape != wanted:
            tensor = np.asarray(np.moveaxis(tensor, -1, 0))
        if tensor is not None and tensor.shape not in (wanted, places):
            tensor = None
        if wanted[:-1] == places != wanted[1:]:
            relevance = np.asarray(np.moveaxis(relevance, -1, 0))
            tensor = tensor if tensor is None or tensor.shape != wanted else np.asarray(np.moveaxis(tensor, -1, 0))
        return replace(self, relevance=relevance, tensor=tensor)


def kind_of(explained: Mapped) -> Kind:
    """Tell what a map is of.

    Returns
    -------
    str
        ``photo``: a photograph was given; ``image``: a tensor with rows and columns, such as a spectrogram; ``signal``:
        channels over time; ``tokens``: a row of ids (whole numbers); ``table``: a row of numbers; ``volume``: three
        axes of places; ``other``: what cannot be drawn.
    """
    heatmap, relevance, tensor = explained.heatmap, explained.relevance, explained.tensor
    if explained.photo is not None:
        return "photo"
    if heatmap.ndim == 1 and relevance.ndim == 1:
        ids = tensor is not None and tensor.dtype.kind in "iu" and tensor.shape == heatmap.shape
        return "tokens" if ids else "table"
    if heatmap.ndim == 1 or (heatmap.ndim == 2 and relevance.ndim == 3 and min(relevance.shape[1:]) == 1):
        return "signal"
    return "image" if heatmap.ndim == 2 else "volume" if heatmap.ndim == 3 else "other"
