"""Rewrite graphs that are exported already: simplified, optimised, in half precision, quantised.

python benchmarks/battery/variants.py FOLDER

It runs in the environment of requirements-torch.txt, after the exporters. Files of a framework that is not there are
left out. The manifest names each variant's source.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization
from shelf import read, shelf_of

Rewrite = Callable[[Path, Path], object]
SAMPLES = 8

# Which graphs are rewritten, each in every way listed for its group; the first exist in the small half.
CNN = (
    "tests__mobilenet_v2__ts-op10",
    "tests__resnet_v1__ts-op15",
    "tests__densenet__ts",
    "torchvision__efficientnet__ts",
)
PLAIN = ("timm__resnext__", "timm__repvit__", "torch__activations__ts-op17", "hf__convnext__ts-op17", "keras__resnet__")
TRANSFORMER = (
    "timm__vit__ts-op17",
    "torchvision__vit__ts-op17",
    "hf__vit__ts-op14-eager",
    "timm__swin__",
    "hf__bert__ts-op17",
)
SMALL = {
    "tests__mobilenet_v2__ts-op10": ("onnxsim", "ort-basic", "dynamic-int8", "fp16"),
    "tests__resnet_v1__ts-op15": ("onnxslim", "ort-extended", "qdq-int8", "qoperator"),
    "timm__vit__ts-op17": ("onnxsim", "ort-extended", "qdq-int8", "dynamic-int8", "transformers"),
}


class RandomBatches(quantization.CalibrationDataReader):
    """Random inputs to calibrate with."""

    def __init__(self, graph: Path) -> None:
        session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        self.batches: Iterator[dict[str, np.ndarray[Any, Any]]] = iter(
            [{i.name: _random(i, seed) for i in session.get_inputs()} for seed in range(SAMPLES)]
        )

    def get_next(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """Return the next sample, or None behind the last."""
        return next(self.batches, None)


def _random(value: Any, seed: int) -> np.ndarray[Any, Any]:
    shape = [d if isinstance(d, int) else 1 for d in value.shape]
    rng = np.random.default_rng(seed)
    if "int64" in value.type:
        return np.ones(shape, np.int64) if "mask" in value.name else rng.integers(5, 50, shape)
    return rng.normal(0.2, 0.8, shape).astype(np.float32)


def simplify(source: Path, target: Path) -> None:
    """Write what onnxsim makes of it."""
    import onnxsim

    model, good = onnxsim.simplify(onnx.load(source))
    if not good:
        raise RuntimeError("onnxsim's own check failed")
    onnx.save(model, target)


def slim(source: Path, target: Path) -> None:
    """Write what onnxslim makes of it."""
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(source)), target)


def optimised(level: str) -> Rewrite:
    """Return a rewrite that saves what ONNX Runtime would run at a level of optimisation."""

    def save(source: Path, target: Path) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
        options.optimized_model_filepath = str(target)
        ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

    return save


def fused(source: Path, target: Path) -> None:
    """Fuse attention and normalisation as ONNX Runtime's tool for transformers does."""
    from onnxruntime.transformers import optimizer

    kind = "bert" if "bert" in source.stem else "vit"
    optimizer.optimize_model(str(source), model_type=kind, num_heads=2, hidden_size=32).save_model_to_file(str(target))


def half(keep_io: bool) -> Rewrite:
    """Return a rewrite in half precision; the inputs may stay as they are."""

    def save(source: Path, target: Path) -> None:
        from onnxconverter_common import float16

        onnx.save(float16.convert_float_to_float16(onnx.load(source), keep_io_types=keep_io), target)

    return save


def quantised(form: quantization.QuantFormat, per_channel: bool = False) -> Rewrite:
    """Return a rewrite to int8, calibrated on random inputs."""

    def save(source: Path, target: Path) -> None:
        ready = target.with_suffix(".ready")
        try:
            quantization.quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(ready), str(target), RandomBatches(source), quant_format=form, per_channel=per_channel
            )
        finally:
            ready.unlink(missing_ok=True)

    return save


def dynamic(source: Path, target: Path) -> None:
    """Write int8 weights and activations quantised on the fly."""
    quantization.quantize_dynamic(str(source), str(target), weight_type=quantization.QuantType.QUInt8)


QDQ, QOPERATOR = quantization.QuantFormat.QDQ, quantization.QuantFormat.QOperator
REWRITES: dict[str, Rewrite] = {
    "onnxsim": simplify,
    "onnxslim": slim,
    "ort-basic": optimised("BASIC"),
    "ort-extended": optimised("EXTENDED"),
    "ort-all": optimised("ALL"),
    "fp16": half(False),
    "fp16-keepio": half(True),
    "qdq-int8": quantised(QDQ),
    "qdq-int8-perchannel": quantised(QDQ, per_channel=True),
    "qoperator": quantised(QOPERATOR),
    "dynamic-int8": dynamic,
    "transformers": fused,
}
GROUPS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (CNN, tuple(w for w in REWRITES if w not in ("ort-all", "transformers"))),
    (PLAIN, ("onnxsim", "ort-extended", "fp16-keepio", "qdq-int8-perchannel", "dynamic-int8")),
    (TRANSFORMER, tuple(w for w in REWRITES if w not in ("ort-all", "qdq-int8-perchannel", "fp16"))),
)


def wanted(names: list[str]) -> dict[tuple[str, str], bool]:
    """Return what to write, (source, rewrite), and whether the small half has it."""
    plan = {(source, way): True for source, ways in SMALL.items() for way in ways if source in names}
    for prefixes, ways in GROUPS:
        for prefix in prefixes:
            sources = [name for name in names if name.startswith(prefix) and "fp16" not in name]
            plan |= {(source, way): plan.get((source, way), False) for source in sources[:1] for way in ways}
    return plan


def rewrite(way: str, source: Path, target: Path) -> None:
    """Write one variant; one that ONNX Runtime cannot load is a failed export."""
    REWRITES[way](source, target)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    ort.InferenceSession(str(target), options, providers=["CPUExecutionProvider"])


def main() -> int:
    """Write all variants of what lies in the folder."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    shelf = shelf_of(__doc__)
    known = read(shelf.folder)["graphs"]
    sources = [name for name, record in known.items() if "source" not in record]
    for (source, way), small in wanted(sources).items():
        path, kind = shelf.folder / f"{source}.onnx", known[source]["kind"]
        shelf.put(
            f"{source}-{way}", kind, lambda target, p=path, w=way: rewrite(w, p, target), small=small, source=source
        )
    return shelf.close()


if __name__ == "__main__":
    sys.exit(main())
