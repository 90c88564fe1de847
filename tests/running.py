"""Run models and compiled explainers, and measure how far two results are apart."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

CPU = ["CPUExecutionProvider"]


def relative_l2(got: np.ndarray, want: np.ndarray) -> float:
    """‖got − want‖ / ‖want‖ in float64."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    assert got.shape == want.shape
    return float(np.linalg.norm(got - want) / np.linalg.norm(want))


def assert_scores_close(got: np.ndarray, want: np.ndarray, largest: float = 0.0) -> None:
    """No score is further off than 1e-6 of the largest, and the same class wins."""
    assert np.abs(got.astype(np.float64) - want).max() <= 1e-6 * max(largest, np.abs(want).max())
    np.testing.assert_array_equal(got.argmax(-1), want.argmax(-1))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, over all entries."""
    return float(np.corrcoef(np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64))[0, 1])


def session(model: onnx.ModelProto | str) -> ort.InferenceSession:
    """Open a session on the CPU with ONNX Runtime's own options, but without its warnings."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    source = model if isinstance(model, str) else model.SerializeToString()
    return ort.InferenceSession(source, options, providers=CPU)


def run(model: onnx.ModelProto | str | ort.InferenceSession, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, from ONNX Runtime on the CPU. Rivals may be given where a method knows none."""
    opened = model if isinstance(model, ort.InferenceSession) else session(model)
    names, known = [o.name for o in opened.get_outputs()], {i.name for i in opened.get_inputs()}
    given = {name: array for name, array in feeds.items() if name in known or name != "hostile"}
    return dict(zip(names, opened.run(names, given), strict=True))


def run_reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs by name, from ONNX's reference, which has every op in float64."""
    names = [o.name for o in model.graph.output]
    return dict(zip(names, ReferenceEvaluator(model, new_ops=MENDED).run(names, feeds), strict=True))


def asked(target: int | Sequence[int], hostile: Sequence[int] = (), samples: int = 1) -> dict[str, np.ndarray]:
    """Feeds `target` [K, N] and `hostile` [K, N, H]: the same classes for every sample."""
    targets = np.atleast_1d(np.asarray(target, dtype=np.int64))
    rivals = np.asarray(hostile, dtype=np.int64).reshape(1, 1, -1)
    return {
        "target": np.repeat(targets[:, None], samples, axis=1),
        "hostile": np.tile(rivals, (len(targets), samples, 1)),
    }


# ---- ops that onnx 1.23's reference gets wrong ----


class LRN(OpRun):
    """The reference's window over channels is off by one."""

    op_domain = ""

    def _run(self, x, alpha=None, beta=None, bias=None, size=None):
        wide = np.pad(x**2, [(0, 0), ((size - 1) // 2, size // 2), (0, 0), (0, 0)])
        squares = sum(wide[:, k : k + x.shape[1]] for k in range(size))
        return (x / (float(bias) + float(alpha) / size * squares) ** float(beta),)


class MaxPool(OpRun):
    """The reference counts a window too many where ceil_mode meets padding."""

    op_domain = ""

    def _run(self, x, ceil_mode=0, kernel_shape=None, pads=None, strides=None, **_):
        n = len(kernel_shape)
        pads = pads or [0] * 2 * n
        if pads[:n] != pads[n:]:  # torch pads both ends alike
            assert len(self.onnx_node.output) == 1, "indices would count the padding"
            x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:n], pads[n:], strict=True)], constant_values=-np.inf)
            pads = [0] * 2 * n
        pool = {1: torch.max_pool1d_with_indices, 2: torch.nn.functional.max_pool2d_with_indices}
        pool[3] = torch.nn.functional.max_pool3d_with_indices
        y, at = pool[n](torch.tensor(x), kernel_shape, strides, pads[:n], ceil_mode=bool(ceil_mode))
        planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * n)
        found = (y.numpy(), at.numpy() + planes * int(np.prod(x.shape[2:])))
        return found[: len(self.onnx_node.output)]


class ConvTranspose(OpRun):
    """The reference cannot do groups."""

    op_domain = ""

    def _run(self, x, w, b=None, group=1, output_padding=None, pads=None, **how):
        n = w.ndim - 2
        pads, extra = pads or [0] * 2 * n, output_padding or [0] * n
        transposed = {1: torch.conv_transpose1d, 2: torch.conv_transpose2d, 3: torch.conv_transpose3d}[n]
        steps = {"stride": how.get("strides") or 1, "dilation": how.get("dilations") or 1}
        y = transposed(*map(torch.tensor, (x, w)), groups=group, **steps).numpy()
        y = np.pad(y, [(0, 0), (0, 0), *((0, e) for e in extra)])
        inside = [slice(p, size - q) for p, q, size in zip(pads[:n], pads[n:], y.shape[2:], strict=True)]
        y = y[(slice(None), slice(None), *inside)]
        return (y if b is None else y + b.reshape(-1, *[1] * n),)


class HardSwish(OpRun):
    """The reference takes 1/6 in float32, which leaves 6e-8."""

    op_domain = ""

    def _run(self, x):
        return (x * np.clip(x / 6 + 0.5, 0, 1),)


MENDED = [LRN, MaxPool, ConvTranspose, HardSwish]
