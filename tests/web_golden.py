"""Writes web/test/golden/preprocess.json: what Python makes of a few pictures, for the page's tests to make again.

python tests/web_golden.py
"""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from rsp_onnx.inputs.prepare import prepare
from rsp_onnx.inputs.presets import PRESETS, Preprocess
from rsp_onnx.inputs.tensors import InputSignature

FILE = Path(__file__).parent.parent / "web/test/golden/preprocess.json"
SIZES = [(40, 23), (13, 60), (7, 5), (24, 24)]  # width, height
WANTED = [((24, 24), "NCHW", 3, "float32"), ((9, 31), "NHWC", 3, "float32"), ((16, 16), "NHW", 1, "uint8")]


def picture(width, height):
    """Return a picture that the page's tests make in the same way."""
    place = np.arange(width * height * 3, dtype=np.uint32)
    noise = (place * np.uint32(2654435761)) >> np.uint32(24)
    return noise.astype(np.uint8).reshape(height, width, 3)


def cases():
    """Yield every way to resize, to interpolate and to number, on pictures larger and smaller than the tensor."""
    for size in SIZES:
        for (height, width), layout, channels, dtype in WANTED:
            for resize in ("stretch", "crop", "pad"):
                for how in ("bilinear", "bicubic", "nearest", "lanczos", "box"):
                    preset = "raw" if dtype == "uint8" else "imagenet-torch"
                    values = {**PRESETS[preset].to_dict(), "resize": resize, "interpolation": how, "pad_value": 114}
                    yield size, Preprocess(**values), (height, width), layout, channels, dtype
    for preset, dtype in (
        ("imagenet-caffe", "float32"),
        ("imagenet-tf", "float32"),
        ("unit", "float32"),
        ("raw", "int8"),
    ):
        yield (40, 23), PRESETS[preset], (24, 24), "NHWC", 3, dtype


def golden():
    """Return the cases with the sums of the tensors' bytes."""
    return [case(*one) for one in cases()]


def as_text():
    """Return the file: one line a case."""
    return "[\n" + ",\n".join(json.dumps(one) for one in golden()) + "\n]\n"


def case(size, preprocess, tensor, layout, channels, dtype):
    """Return one case."""
    height, width = tensor
    shape = {
        "NCHW": (None, channels, height, width), "NHWC": (None, height, width, channels), "NHW": (None, height, width)
    }[layout]  # fmt: skip
    made = prepare(Image.fromarray(picture(*size)), InputSignature("x", np.dtype(dtype), shape), preprocess)
    return {
        "size": size, "preprocess": preprocess.to_dict(),
        "wanted": {"dtype": dtype, "layout": layout, "height": height, "width": width, "channels": channels},
        "box": made.geometry.box, "sha256": hashlib.sha256(made.tensor.tobytes()).hexdigest(),
    }  # fmt: skip


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(as_text(), encoding="utf-8")
