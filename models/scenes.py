"""Scenes of real handwritten digits on cluttered ground: the pictures of the project's own small model.

Every scene is drawn from its number alone, so a picture can be named instead of stored:
``make_scene(3)`` is the same picture with numpy 1.26.4 and Pillow 10.1 as with numpy 2.4.6 and Pillow 13. The
handwriting is `sklearn.datasets.load_digits` (8×8 grey values, UCI Optical Recognition of Handwritten
Digits); everything around it is invented here.

Seeds: scene ``n`` of a split is drawn by ``numpy.random.default_rng([SEED, SPLITS.index(split), n])``.
Splits: exemplar ``i`` of `load_digits` belongs to training where ``i % 10`` is 0-6, to validation where it is
7, to test where it is 8 or 9: no digit of a test scene was seen in training (the same writers' others were).
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from sklearn.datasets import load_digits

Split = Literal["train", "validation", "test"]
Floats = NDArray[np.floating[Any]]
Box = tuple[int, int, int, int]

SPLITS: tuple[Split, ...] = get_args(Split)
SEED = 20240607
SIZE = 96
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Digit(NamedTuple):
    """One digit in a scene.

    Attributes
    ----------
    class_index : int
        Which digit, 0 to 9.
    box : tuple of int
        (xmin, ymin, xmax, ymax), the first and last column and row of the mask, both inclusive.
    mask : ndarray of bool, shape (96, 96)
        The digit's own pixels.
    """

    class_index: int
    box: Box
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """A picture and what is in it.

    Attributes
    ----------
    image : ndarray of uint8, shape (96, 96, 3)
        RGB picture.
    digits : list of Digit
        The digits, none overlapping another.
    """

    image: NDArray[np.uint8]
    digits: list[Digit]

    @property
    def labels(self) -> NDArray[np.float32]:
        """1 for each of the ten classes that is present, else 0; shape (10,)."""
        labels = np.zeros(len(WORDS), np.float32)
        labels[[digit.class_index for digit in self.digits]] = 1
        return labels


def make_scene(seed: int, split: Split = "test") -> Scene:
    """Draw one scene.

    Parameters
    ----------
    seed : int
        Number of the scene, 0 or more.
    split : {"train", "validation", "test"}
        Whose handwriting is used.

    Returns
    -------
    Scene
        The same for the same arguments.
    """
    rng = np.random.default_rng([SEED, SPLITS.index(split), seed])
    dark = rng.random() < 0.6
    ink = (0.55, 0.95) if dark else (0.04, 0.32)
    picture = _clutter(rng, _ground(rng, dark), dark)
    taken: list[Box] = []
    digits = []
    for class_index in _choose_classes(rng):
        alpha = _digit_alpha(rng, split, class_index)
        box = _find_place(rng, alpha.shape, taken)
        if box is not None:
            digits.append(_paint_digit(picture, class_index, alpha, box, _colour(rng, *ink)))
    for _ in range(rng.integers(1, 5)):
        alpha = _fragment_alpha(rng, split)
        box = _find_place(rng, alpha.shape, taken)
        if box is not None:
            _paint(picture, alpha, box, _colour(rng, *ink))
    picture += rng.normal(0, 0.015, picture.shape)  # grain lies on everything, as a camera's does
    return Scene((picture.clip(0, 1) * 255).round().astype(np.uint8), digits)


def make_scenes(split: Split, count: int) -> list[Scene]:
    """Draw the first `count` scenes of a split.

    Parameters
    ----------
    split : {"train", "validation", "test"}
        Whose handwriting is used.
    count : int
        How many scenes.

    Returns
    -------
    list of Scene
        Scenes 0 to ``count - 1``.
    """
    return [make_scene(seed, split) for seed in range(count)]


def exemplar_indices(split: Split) -> NDArray[np.intp]:
    """Return the indices into `load_digits` that a split may draw from."""
    return np.concatenate(list(_exemplars(split)[1]))


@cache
def _exemplars(split: Split) -> tuple[Floats, tuple[NDArray[np.intp], ...]]:
    """All 8×8 exemplars as ink from 0 to 1, and for each class the split's indices into them."""
    images, classes = load_digits(return_X_y=True)
    index = np.arange(len(classes))
    splits = np.digitize(index % 10, [7, 8])  # 0-6 train, 7 validation, 8-9 test
    chosen = splits == SPLITS.index(split)
    return images.reshape(-1, 8, 8) / 16, tuple(np.flatnonzero(chosen & (classes == c)) for c in range(10))


def _choose_classes(rng: np.random.Generator) -> list[int]:
    """One to four classes, different ones except now and then two of a kind."""
    count = rng.choice([1, 2, 3, 4], p=[0.1, 0.35, 0.35, 0.2])
    classes = [int(c) for c in rng.choice(10, count, replace=False)]
    if count > 1 and rng.random() < 0.12:
        classes[1] = classes[0]
    return classes


def _colour(rng: np.random.Generator, darkest: float, lightest: float, saturation: float = 1) -> Floats:
    """Return a random hue at a luminance in the given range, RGB from 0 to 1.

    The luminance is set, not HSV's value, or blue digits would vanish on dark ground.
    """
    pure: Floats = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.2, saturation), 1))
    luminance = float(pure @ [0.299, 0.587, 0.114])
    wanted = rng.uniform(darkest, lightest)
    if wanted < luminance:
        return pure * (wanted / luminance)
    return pure + (1 - pure) * ((wanted - luminance) / (1 - luminance))


def _ground(rng: np.random.Generator, dark: bool) -> Floats:
    """Return a gradient between two colours with cloudy texture and sometimes stripes; shape (96, 96, 3)."""
    luminance = (0.06, 0.32) if dark else (0.62, 0.92)
    first, second = (_colour(rng, *luminance, saturation=0.6) for _ in range(2))
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle))[..., None]
    picture: Floats = first + (second - first) * (along + 0.5).clip(0, 1)
    cells = int(rng.integers(4, 13))
    clouds = rng.normal(0, 0.05, (cells, cells)).astype(np.float32)
    smooth = Image.fromarray(clouds).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    picture = picture + np.asarray(smooth)[..., None]
    if rng.random() < 0.35:
        angle, waves = rng.uniform(0, np.pi), rng.uniform(6, 16)
        stripes = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)))
        picture = picture + 0.03 * stripes[..., None]
    return picture


def _clutter(rng: np.random.Generator, picture: Floats, dark: bool) -> Floats:
    """Draw blobs, strokes and dots under the digits; `picture` and result have shape (96, 96, 3)."""
    size = 2 * SIZE  # drawn at twice the size: halving it smooths the edges that ImageDraw leaves jagged
    canvas = Image.fromarray((picture.clip(0, 1) * 255).astype(np.uint8)).resize((size, size))
    pen = ImageDraw.Draw(canvas)
    near = (0.1, 0.42) if dark else (0.5, 0.85)  # the ground's kind, so that a digit on a blob stays legible
    for _ in range(rng.integers(1, 5)):
        x, y, width, height = (*rng.uniform(0, size, 2), *rng.uniform(12, 56, 2))
        pen.ellipse((x - width / 2, y - height / 2, x + width / 2, y + height / 2), fill=_ink(rng, *near))
    for _ in range(rng.integers(2, 7)):
        pen.line(_curve(rng, size), fill=_ink(rng, *near), width=int(rng.integers(2, 6)), joint="curve")
    for x, y in rng.uniform(0, size, (rng.integers(5, 30), 2)):
        radius = rng.uniform(1, 4)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=_ink(rng, 0.1, 0.9))
    return np.asarray(canvas.reduce(2)) / 255


def _ink(rng: np.random.Generator, darkest: float, lightest: float) -> tuple[int, int, int]:
    """Return `_colour` as ImageDraw wants it."""
    red, green, blue = (int(255 * part) for part in _colour(rng, darkest, lightest))
    return red, green, blue


def _curve(rng: np.random.Generator, size: int) -> list[tuple[float, float]]:
    """Return twelve points on a quadratic curve between random places."""
    start, bend, end = rng.uniform(-0.1 * size, 1.1 * size, (3, 2))
    t = np.linspace(0, 1, 12)[:, None]
    points = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
    return [(float(x), float(y)) for x, y in points]


def _digit_alpha(rng: np.random.Generator, split: Split, class_index: int) -> Floats:
    """Return the opacity of one exemplar, 20 to 34 pixels tall before a slight turn, cut to its ink."""
    images, indices = _exemplars(split)
    exemplar = images[rng.choice(indices[class_index])]
    return _enlarge(exemplar, rng.uniform(20, 34) / 8, rng.uniform(-12, 12))


def _fragment_alpha(rng: np.random.Generator, split: Split) -> Floats:
    """Return the opacity of a quarter of any exemplar, turned freely: ink that is no digit."""
    images, indices = _exemplars(split)
    top, left = rng.integers(0, 5, 2)
    exemplar = images[rng.choice(indices[rng.integers(10)])]
    return _enlarge(exemplar[top : top + 4, left : left + 4], rng.uniform(2, 3.2), rng.uniform(0, 360))


def _enlarge(ink: Floats, scale: float, degrees: float) -> Floats:
    """Enlarge a small grey image smoothly, turn it, and steepen its blurred edges into a pen's."""
    # the margin gives the turn room and lets strokes end before the edge
    padded = Image.fromarray(np.pad(ink, 2).astype(np.float32))
    side = round(scale * padded.width)
    large = padded.resize((side, side), Image.Resampling.BICUBIC).rotate(degrees, Image.Resampling.BILINEAR)
    alpha: Floats = ((np.asarray(large) - 0.31) / 0.35).clip(0, 1)
    left, top, right, bottom = _bounds(alpha > 0)
    return alpha[top : bottom + 1, left : right + 1]


def _bounds(mask: NDArray[np.bool_]) -> Box:
    """First and last column and row that are set, as (xmin, ymin, xmax, ymax); the whole of an empty mask."""
    if not mask.any():
        return 0, 0, mask.shape[1] - 1, mask.shape[0] - 1
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


def _find_place(rng: np.random.Generator, shape: tuple[int, ...], taken: list[Box]) -> Box | None:
    """Find a free place for a patch of (height, width) and add it to `taken`; None when sixty throws fail."""
    height, width = shape
    for _ in range(60):
        x, y = (int(v) for v in rng.integers(1, (SIZE - width, SIZE - height)))
        box = x, y, x + width - 1, y + height - 1
        if all(box[2] < t[0] or t[2] < box[0] or box[3] < t[1] or t[3] < box[1] for t in taken):
            taken.append(box)
            return box
    return None


def _paint_digit(picture: Floats, class_index: int, alpha: Floats, box: Box, colour: Floats) -> Digit:
    """Paint a digit into `picture` in place and say where it is."""
    _paint(picture, alpha, box, colour)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[box[1] : box[3] + 1, box[0] : box[2] + 1] = alpha > 0.5
    return Digit(class_index, _bounds(mask), mask)


def _paint(picture: Floats, alpha: Floats, box: Box, colour: Floats) -> None:
    """Blend a colour into `picture` in place."""
    patch = picture[box[1] : box[3] + 1, box[0] : box[2] + 1]
    patch += alpha[..., None] * (colour - patch)
