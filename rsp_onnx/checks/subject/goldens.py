"""What was recorded: one .npz with a readable header, the scores, and the maps in eight bits; same bytes every time.

    header.toml      what was recorded with what, and every image's figures
    scores/000.npy   float32, probabilities of all classes, or of the hundred best where there are more than a thousand
    classes/000.npy  int64, their indices
    map/000.npy      int8 [h, w], no side above 112: relevance = sign(q) (q / 127)² scale, the scale in the header
    hostile/000.npy  likewise, the map asked the other way round, where a hostile class is named

The square root spends the eight bits where most of a map's pixels are: near zero.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rsp_onnx.checks.spec.toml_text import toml_text
from rsp_onnx.errors import BadInput
from rsp_onnx.files import parse_toml, write_atomically
from rsp_onnx.types import Array

from .similarity import coarse

FORMAT = 1
MOST = 112  # pixels of a side
HEADER = "header.toml"
ALL_CLASSES, BEST = 1000, 100
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can say


@dataclass(frozen=True)
class Packed:
    """A map in eight bits.

    Attributes
    ----------
    pixels : ndarray
        int8 [h, w].
    scale : float
        The largest magnitude.
    """

    pixels: Array
    scale: float

    @property
    def map(self) -> Array:
        """The map, float64 [h, w]."""
        return np.asarray(np.sign(self.pixels) * (self.pixels / 127.0) ** 2 * self.scale)


def pack(heatmap: Array) -> Packed:
    """Return a map made coarse, and stored in eight bits."""
    small = coarse(heatmap, MOST)
    scale = float(np.float32(np.abs(small).max(initial=0.0)))
    shares = np.clip(small / scale, -1, 1) if scale > 0 else np.zeros_like(small)
    return Packed(np.round(127 * np.sign(shares) * np.sqrt(np.abs(shares))).astype(np.int8), scale)


@dataclass(frozen=True)
class Golden:
    """What was recorded of one image.

    Attributes
    ----------
    facts : mapping
        Its part of the header: name, sha256, target, label, predicted, …
    classes : ndarray
        int64, the classes whose scores are kept.
    hostile_map : Packed, optional
        The map asked the other way round.
    """

    facts: Mapping[str, Any]
    scores: Array
    classes: Array
    map: Packed
    hostile_map: Packed | None = None

    @property
    def name(self) -> str:
        """The image's path as SPEC had it."""
        return str(self.facts["name"])


@dataclass(frozen=True)
class Goldens:
    """All that was recorded: the header's own facts and one golden per image."""

    facts: Mapping[str, Any]
    images: tuple[Golden, ...] = field(default=())

    def get(self, name: str) -> Golden | None:
        """Return what was recorded of an image."""
        return next((g for g in self.images if g.name == name), None)


def keep_scores(scores: Array) -> tuple[Array, Array]:
    """Return (classes, their scores): all, or the best hundred where there are more than a thousand."""
    classes = np.arange(scores.size)
    if scores.size > ALL_CLASSES:
        classes = np.sort(np.argsort(-scores, kind="stable")[:BEST])
    return classes.astype(np.int64), scores[classes].astype(np.float32)


def save_goldens(path: str | Path, goldens: Goldens) -> None:
    """Write goldens, whole or not at all, the same bytes for the same goldens."""
    members = {f"{name}.npy": _npy(array) for name, array in _arrays(goldens).items()}
    members[HEADER] = _header(goldens).encode()

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(members):
                entry = zipfile.ZipInfo(name, _DATE)
                entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
                archive.writestr(entry, members[name])

    write_atomically(path, write)


def _header(goldens: Goldens) -> str:
    """Return the header; a map's scale is written beside the image's other facts."""
    images = [
        {**g.facts, "scale": g.map.scale, "hostile_scale": g.hostile_map.scale if g.hostile_map else None}
        for g in goldens.images
    ]
    return "# Written by `rsp-onnx check --record`\n" + toml_text({"format": FORMAT, **goldens.facts, "image": images})


def _arrays(goldens: Goldens) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    for number, golden in enumerate(goldens.images):
        arrays[f"scores/{number:03}"], arrays[f"map/{number:03}"] = golden.scores, golden.map.pixels
        arrays[f"classes/{number:03}"] = golden.classes
        if golden.hostile_map is not None:
            arrays[f"hostile/{number:03}"] = golden.hostile_map.pixels
    return arrays


def _npy(array: Array) -> bytes:
    data = io.BytesIO()
    np.lib.format.write_array(data, np.ascontiguousarray(array), allow_pickle=False)
    return data.getvalue()


def read_goldens(path: Path) -> Goldens:
    """Read what was recorded.

    Raises
    ------
    BadInput
        Nothing was recorded yet, or the file is damaged or of another format.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        header = parse_toml(members.pop(HEADER).decode())
        if header.pop("format") != FORMAT:
            raise BadInput(f"{path} was recorded by another version of rsp-onnx: record it again with --update.")
        arrays = {n.removesuffix(".npy"): np.load(io.BytesIO(b), allow_pickle=False) for n, b in members.items()}
        images = header.pop("image")
        return Goldens(header, tuple(_golden(number, facts, arrays) for number, facts in enumerate(images)))
    except FileNotFoundError:
        raise BadInput(f"There are no goldens {path}: record them first with `rsp-onnx check --record`.") from None
    except BadInput:
        raise
    except Exception as error:  # zipfile, tomllib and numpy raise many kinds of exception on damaged files
        raise BadInput(f"{path} is damaged or holds no goldens: record it again with --record.") from error


def _golden(number: int, facts: dict[str, Any], arrays: Mapping[str, Array]) -> Golden:
    scale, other = float(facts.pop("scale")), facts.pop("hostile_scale", None)
    reverse = None if other is None else Packed(arrays[f"hostile/{number:03}"], float(other))
    return Golden(
        facts, arrays[f"scores/{number:03}"], arrays[f"classes/{number:03}"],
        Packed(arrays[f"map/{number:03}"], scale), reverse,
    )  # fmt: skip
