"""Relevance as colour: red speaks for the class, blue against it, white is silent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rsp_onnx.errors import BadInput
from rsp_onnx.inputs.geometry import finite_map

# sRGB at |value| / limit = 0, 1/4, 1/2, 3/4, 1: lightness falls in even steps and alike on both sides
_RED = np.array([(255, 255, 255), (253, 196, 178), (245, 122, 100), (217, 40, 44), (145, 0, 24)], float)
_BLUE = np.array([(255, 255, 255), (186, 208, 250), (116, 156, 242), (50, 92, 214), (12, 32, 140)], float)
_LEVELS = 255  # on each side of white
_VEIL = 127  # likewise, where a picture has a table of 256 colours


def _table() -> NDArray[np.uint8]:
    """Make all colours from strongest blue over white to strongest red; [2 * _LEVELS + 1, 3]."""
    anchors = np.concatenate([_BLUE[:0:-1], _RED])
    place, places = np.linspace(-1, 1, 2 * _LEVELS + 1), np.linspace(-1, 1, len(anchors))
    columns = [np.interp(place, places, anchors[:, channel]) for channel in range(3)]
    return np.round(np.stack(columns, axis=1)).astype(np.uint8)


_COLOURS = _table()

_OVERLAY_SIGMA = 0.015  # of the root of the photo's area: joins single pixels to spots, keeps objects apart
_STRONGEST = 0.8  # opacity of the colour at the limit; the photo stays visible below


def colour_limit(heatmap: NDArray[Any], percentile: float = 99.5) -> float:
    """Absolute value at which the colours end, so that a few extreme pixels do not pale all others.

    Parameters
    ----------
    heatmap : ndarray, shape [H, W]
        Relevance.
    percentile : float
        Of |heatmap|, 0 < percentile <= 100.

    Returns
    -------
    float
        > 0; the maximum where the percentile is 0, and 1.0 where all is 0.
    """
    magnitude = np.abs(finite_map(heatmap))
    return float(np.percentile(magnitude, percentile)) or float(magnitude.max()) or 1.0


def heatmap_rgb(heatmap: NDArray[Any], limit: float | None = None) -> NDArray[np.uint8]:
    """Paint a heatmap: positive red, negative blue, 0 white.

    Parameters
    ----------
    heatmap : ndarray, shape [H, W]
        Relevance.
    limit : float, optional
        Absolute value of the strongest colours; None takes `colour_limit`.

    Returns
    -------
    ndarray of uint8, shape [H, W, 3]

    Raises
    ------
    BadInput
        If the map is no picture, has values that are not finite, or the limit is not positive.
    """
    return _paint(_shares(finite_map(heatmap), limit))


def smooth(heatmap: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    """Blur a map with a Gaussian; at the borders it is mirrored, so that the sum is kept.

    Parameters
    ----------
    heatmap : ndarray, shape [H, W]
        Relevance.
    sigma : float
        Standard deviation in pixels; 0 leaves the map as it is.

    Returns
    -------
    ndarray of float64, shape [H, W]
    """
    values = finite_map(heatmap)
    if sigma <= 0:
        return np.array(values)
    along_rows = _smooth_rows(values, sigma)
    return np.ascontiguousarray(_smooth_rows(along_rows.T, sigma).T)


def overlay(
    photo: Image.Image, heatmap: NDArray[Any], limit: float | None = None, sigma: float | None = None
) -> Image.Image:
    """Lay the colours over a pale grey photo, the stronger the relevance the more opaque.

    The map is smoothed, which makes its values smaller; the colour scale shrinks by the same factor, so that
    overlays of one photo drawn with one `limit` remain comparable.

    Parameters
    ----------
    photo : PIL.Image.Image
        The photograph.
    heatmap : ndarray, shape [H, W]
        Relevance of the photo's pixels.
    limit : float, optional
        As in `heatmap_rgb`, in values of the map before smoothing.
    sigma : float, optional
        Smoothing in pixels; None takes 1.5 % of the root of the photo's area.

    Returns
    -------
    PIL.Image.Image
        RGB, the photo's size.

    Raises
    ------
    BadInput
        If photo and map differ in size, or the map cannot be drawn.
    """
    values = finite_map(heatmap)
    if values.shape != (photo.height, photo.width):
        raise BadInput(
            f"The map has {values.shape[0]}×{values.shape[1]} pixels (height×width), but the photo has "
            f"{photo.height}×{photo.width}: lay it on the original first."
        )
    colour, alpha = _laid_over(_soft_shares(values, limit, sigma))
    grey = np.asarray(photo.convert("L"), dtype=np.float64)[:, :, None] * 0.7 + 65.0
    return Image.fromarray(np.round(grey * (1 - alpha) + colour * alpha).astype(np.uint8))


def veil(heatmap: NDArray[Any], limit: float | None = None, sigma: float | None = None) -> Image.Image:
    """Return the colours of an ``overlay`` alone, transparent where nothing speaks.

    Parameters
    ----------
    heatmap, limit, sigma
        As of ``overlay``.

    Returns
    -------
    PIL.Image.Image
        Of the mode P, with ``transparency`` by colour in its ``info``, which PNG keeps.
    """
    levels = np.linspace(-1, 1, 2 * _VEIL + 1)[None]
    colour, alpha = _laid_over(levels)
    shares = _soft_shares(finite_map(heatmap), limit, sigma)
    picture = Image.fromarray(np.round(shares * _VEIL + _VEIL).astype(np.uint8))
    picture.putpalette(colour.reshape(-1).tobytes())
    picture.info["transparency"] = np.round(alpha.reshape(-1) * 255).astype(np.uint8).tobytes()
    return picture


def _soft_shares(values: NDArray[np.float64], limit: float | None, sigma: float | None) -> NDArray[np.float64]:
    """Smooth a map, and return its values as signed shares of the limit, which shrinks as they do."""
    soft = smooth(values, _OVERLAY_SIGMA * values.size**0.5 if sigma is None else sigma)
    shrink = colour_limit(soft) / colour_limit(values)
    return _shares(soft, None if limit is None else limit * shrink)


def _laid_over(shares: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Colours [H, W, 3] and their opacity [H, W, 1], 0..1, over a photo."""
    alpha = _STRONGEST * np.abs(shares[:, :, None]) ** 0.75  # below 1: weak relevance is seen as well
    # never the pale end of the scale: over a photo, white would read as fog instead of as nothing
    return _paint(np.copysign(0.5, shares) + 0.35 * shares), alpha


def _shares(values: NDArray[np.float64], limit: float | None) -> NDArray[np.float64]:
    """Values as signed shares -1..1 of the limit."""
    if limit is None:
        limit = colour_limit(values)
    if not (np.isfinite(limit) and limit > 0):
        raise BadInput(f"The colour limit must be a positive number, not {limit}.")
    return np.clip(values, -limit, limit) / limit


def _paint(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Look up the colours of signed shares -1..1; [H, W, 3]."""
    return _COLOURS[np.round(shares * _LEVELS).astype(np.intp) + _LEVELS]


def _smooth_rows(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Blur along the last axis by FFT: photographs of megapixels have kernels of hundreds of pixels."""
    n, radius = values.shape[1], int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    padded = np.pad(values, ((0, 0), (radius, radius)), mode="symmetric")
    size = padded.shape[1]  # what wraps round falls into the margins, which are cut off
    product = np.fft.rfft(padded, axis=1) * np.fft.rfft(kernel / kernel.sum(), size)
    blurred: NDArray[np.float64] = np.fft.irfft(product, size, axis=1)
    return blurred[:, 2 * radius : 2 * radius + n]
