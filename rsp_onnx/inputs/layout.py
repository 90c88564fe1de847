"""What the graph wants at its image input, and in which order its axes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rsp_onnx.errors import BadInput
from rsp_onnx.layout import channels_last


@dataclass(frozen=True)
class InputSignature:
    """What the graph declares about its image input.

    Parameters
    ----------
    name : str
        Name of the graph input.
    dtype : numpy.dtype
        Element type.
    shape : tuple of (int or None)
        (N, C, H, W) or (N, H, W, C), or (N, H, W) for gray images; None where the size is free.
    is_one_sample : bool
        The first axis is not the batch (time, in a model of one sample): one tensor is one item.
    axes : tuple of str
        What the model calls its axes where that is a word, such as "time"; empty names elsewhere.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    is_one_sample: bool = False
    axes: tuple[str, ...] = ()

    def layout(self) -> str:
        """Tell the order of the axes from the sizes; where both orders fit, channels come first.

        Returns
        -------
        str
            "NCHW", "NHWC" or "NHW".

        Raises
        ------
        BadInput
            If the shape is not that of a batch of images.
        """
        shape = self.shape
        if len(shape) == 3 and shape[0] not in (3, 4) and shape[2] not in (3, 4):
            return "NHW"
        if len(shape) == 4:
            return "NHWC" if channels_last(shape) else "NCHW"
        sizes = ", ".join("?" if n is None else str(n) for n in shape)
        raise BadInput(
            f"Input '{self.name}' has shape [{sizes}], which is no batch of images: "
            "give the tensor itself as a .npy or .npz file."
        )

    def _size(self, axis: str) -> int | None:
        layout = self.layout()
        return self.shape[layout.index(axis)] if axis in layout else 1

    @property
    def channels(self) -> int | None:
        """Number of channels, None if free."""
        return self._size("C")

    @property
    def height(self) -> int | None:
        """Rows of the image, None if free."""
        return self._size("H")

    @property
    def width(self) -> int | None:
        """Columns of the image, None if free."""
        return self._size("W")
