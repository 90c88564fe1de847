"""Run models and compiled explainers, and measure how far two results are apart."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

CPU = ["CPUExecutionProvider"]


def relative_l2(got: np.ndarray, want: np.ndarray) -> float:
    """‖got − want‖ / ‖want‖ in float64."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, over all entries."""
    return float(np.corrcoef(np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64))[0, 1])


def session(model: onnx.ModelProto | str) -> ort.InferenceSession:
    """A session on the CPU with ONNX Runtime's own options, but without its warnings."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    source = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=CPU)


def run(model: onnx.ModelProto | str, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, from ONNX Runtime on the CPU."""
    opened = session(model)
    names = [o.name for o in opened.get_outputs()]
    return dict(zip(names, opened.run(names, feeds), strict=True))


def run_reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, from ONNX's reference (it has every op in float64)."""
    names = [o.name for o in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model).run(names, feeds), strict=True))


def asked(target: int | Sequence[int], hostile: Sequence[int] = (), samples: int = 1) -> dict[str, np.ndarray]:
    """Feeds `target` [K, N] and `hostile` [K, N, H]: the same classes for every sample."""
    targets = np.atleast_1d(np.asarray(target, dtype=np.int64))
    rivals = np.asarray(hostile, dtype=np.int64).reshape(1, 1, -1)
    return {
        "target": np.repeat(targets[:, None], samples, axis=1),
        "hostile": np.tile(rivals, (len(targets), samples, 1)),
    }
