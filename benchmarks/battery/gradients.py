"""Compare compiled gradients with torch.autograd's, end to end from one logit to the input.

    python benchmarks/battery/gradients.py [--half small] [--only PATTERN] [--jobs N]

In the environment of ``requirements-torch.txt``. Every network of ``zoo_torch`` is exported (TorchScript, opset 17) and
its gradient compiled: in float32 run by ONNX Runtime, in float64 by ONNX's reference evaluator with the kernels of
``rsp_onnx.testing``. The error is ‖compiled − autograd‖/‖autograd‖, for one class drawn at random. A network passes
with less than 1e-4 in float32 and 1e-9 in float64. Where exporters write constants in float32 (a scale, HardSigmoid's
sixth, a table of positions), the file is another function than the network in float64; its scores tell, and there is no
number. Exits with 1 where a network is over a bound, or fewer than 40 pass.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import multiprocessing
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import zoo_torch

import rsp_onnx
from rsp_onnx.testing.checks import vjp_model
from rsp_onnx.testing.reference import KERNELS

BOUNDS = {"float32": 1e-4, "float64": 1e-9}
ENOUGH = 40
POINTS = 4  # tried in float32
SAME = 1e-10  # float64 scores of one function agree better than this
Run = Callable[[dict[str, np.ndarray], np.ndarray], dict[str, np.ndarray]]


class NotTheSameError(Exception):
    """The exported file computes something else than the network."""


@dataclass(frozen=True)
class Result:
    """One network: its errors by precision, or in words why there is none."""

    name: str
    kind: str
    errors: dict[str, float | str]
    points: int
    seconds: float

    def passed(self) -> bool:
        """Tell whether both errors are within their bounds."""
        return all(isinstance(e, float) and e < BOUNDS[p] for p, e in self.errors.items())


class MaxPool(OpRun):
    """Max pooling by ONNX Runtime, which has it in float64; the reference's counts windows wrongly (ceil_mode)."""

    def _run(self, x: np.ndarray, **given: object) -> tuple[np.ndarray, ...]:
        node, names = onnx.NodeProto(), [f"y{i}" for i in range(len(self.onnx_node.output))]
        node.CopyFrom(self.onnx_node)
        node.input[:], node.output[:] = ["x"], names
        kinds = (onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64)
        outputs = [onnx.helper.make_tensor_value_info(n, k, None) for n, k in zip(names, kinds, strict=False)]
        inputs = [onnx.helper.make_tensor_value_info("x", kinds[0], x.shape)]
        graph = onnx.helper.make_graph([node], "pool", inputs, outputs)
        imports = [onnx.helper.make_opsetid("", 18)]
        return tuple(_session(onnx.helper.make_model(graph, opset_imports=imports, ir_version=8)).run(names, {"x": x}))


class HardSwish(OpRun):
    """x·min(max(x/6 + 1/2, 0), 1); the reference's sixth is float32's."""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (x * np.clip(x / 6 + 0.5, 0, 1),)


def examine(name: str) -> Result:
    """Export one network in both precisions and compare its gradients."""
    start, errors, points = time.perf_counter(), {}, 0
    kind = zoo_torch.names()[name].kind
    for precision in BOUNDS:
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # the exporter warns of every Python value a trace makes a constant
                errors[precision], points = _error(name, kind, precision)
        except Exception as error:  # an exporter, the compiler or the reference gave up: the row says what it said
            errors[precision] = f"{type(error).__name__}: {_first_sentence(error)}"
    return Result(name, kind, errors, points, time.perf_counter() - start)


def _error(name: str, kind: str, precision: str) -> tuple[float, int]:
    """Return the error at the first point within the bound, or the smallest, and how many points were tried.

    In float32 a point may lie within rounding of a kink (the 0 of a ReLU), on whose other side the runtime finds it.
    """
    double = precision == "float64"
    try:
        module, inputs, exported = _network(name, "sdpa", double)
    except ValueError:  # the exporter's fused attention knows no mask in float64
        module, inputs, exported = _network(name, "eager", double)
    exported_scores = copy.deepcopy(exported)
    run, found = _compiled(exported, kind, double), []
    for point in range(1 if double else POINTS):
        rng = torch.Generator().manual_seed(point)
        moved = [x + point * 0.1 * torch.randn(x.shape, generator=rng) if x.is_floating_point() else x for x in inputs]
        feeds, want, asked = _torch_gradient(module, moved, point)
        back = run(feeds, asked)
        found.append(max(_relative(back[n], g) for n, g in want.items()))
        if double and found[-1] >= BOUNDS[precision]:
            apart = _scores_apart(module, moved, exported_scores, feeds)
            if apart > SAME:
                raise NotTheSameError(f"the file's own scores are {apart:.0e} from torch's: float32 constants in it")
        if found[-1] < BOUNDS[precision]:
            break
    return min(found), len(found)


def _scores_apart(
    module: nn.Module, inputs: Sequence[Tensor], exported: onnx.ModelProto, feeds: dict[str, np.ndarray]
) -> float:
    """Return how far the scores of the exported file are from torch's, in float64: it may not be the same function."""
    with torch.no_grad():
        scores = module(*inputs)
    want = (scores if isinstance(scores, Tensor) else scores[0]).numpy()
    run = ReferenceEvaluator(exported, new_ops=[*KERNELS, MaxPool, HardSwish]).run
    known = {i.name for i in exported.graph.input}
    return _relative(run([exported.graph.output[0].name], {n: a for n, a in feeds.items() if n in known})[0], want)


def _network(name: str, attention: str, double: bool) -> tuple[nn.Module, tuple[Tensor, ...], onnx.ModelProto]:
    zoo_torch.allow_torchvision()
    import timm.layers

    timm.layers.set_fused_attn(attention == "sdpa")
    module, inputs = zoo_torch.build(name, attention)
    if double:
        module, inputs = module.double(), tuple(x.double() if x.is_floating_point() else x for x in inputs)
    return module, inputs, _exported(module, inputs)


def _compiled(exported: onnx.ModelProto, kind: str, double: bool) -> Run:
    """Return a function of feeds and of what is asked of each score that returns the gradient by input."""
    plain = kind != "segmentation" and "Softmax" not in exported.graph.node[-1].op_type
    if double or not plain:  # the explainer takes one class of a vector of scores, before a softmax at the end
        del exported.graph.output[1:]
        compiled = vjp_model(exported)
        names = [o.name for o in compiled.graph.output]
        call = (
            ReferenceEvaluator(compiled, new_ops=[*KERNELS, MaxPool, HardSwish]).run
            if double
            else _session(compiled).run
        )

        def from_table(feeds: dict[str, np.ndarray], asked: np.ndarray) -> dict[str, np.ndarray]:
            back = dict(zip(names, call(names, {**feeds, "g": asked[None]}), strict=True))
            return {n.removeprefix("gradient/"): g[0] for n, g in back.items()}

        return from_table
    session = _session(rsp_onnx.compile_explainer(exported, "gradient"))
    known, results = {i.name for i in session.get_inputs()}, [o.name for o in session.get_outputs()]

    def explained(feeds: dict[str, np.ndarray], asked: np.ndarray) -> dict[str, np.ndarray]:
        chosen = {"target": asked.argmax(1).reshape(1, -1), "hostile": np.zeros((1, 1, 0), np.int64)}
        given = {n: a for n, a in {**feeds, **chosen}.items() if n in known}
        back = dict(zip(results, session.run(results, given), strict=True))
        return {n: back.get(f"relevance/{n}", back.get("relevance", np.zeros(0)))[0] for n in feeds}

    return explained


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _torch_gradient(
    module: nn.Module, inputs: Sequence[Tensor], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Return the feeds, autograd's gradients of one random class by input, and 1 at that class's scores, else 0.

    Autograd sees the sample twice: for a batch of one, BatchNorm's backward of torch 2.13 in eval mode is wrong where
    the gradient arrives with channels last (LeViT, EfficientFormer, EfficientViT).
    """
    for copies in (2, 1):
        twice = [torch.cat([x.detach()] * copies) for x in inputs]
        moving = [x.requires_grad_() if x.is_floating_point() else x for x in twice]
        try:
            scores = module(*moving)
        except RuntimeError:  # the network is for one sample
            if copies == 1:
                raise
            continue
        scores = scores if isinstance(scores, Tensor) else scores[0]
        if len(scores) == copies:
            break
    asked = torch.zeros_like(scores[:1])
    asked[:, int(np.random.default_rng(seed).integers(scores.shape[1]))] = 1
    (scores[:1] * asked).sum().backward()
    want = {f"x{i}": x.grad[:1].numpy() for i, x in enumerate(moving) if x.grad is not None}
    if not want:
        raise ValueError("it has no input of real numbers")
    return {f"x{i}": x.detach().numpy() for i, x in enumerate(inputs)}, want, asked.numpy()


def _exported(module: nn.Module, inputs: tuple[Tensor, ...]) -> onnx.ModelProto:
    file = io.BytesIO()
    names = [f"x{i}" for i in range(len(inputs))]
    plain = tuple(x.detach() for x in inputs)
    try:
        torch.onnx.export(module, plain, file, input_names=names, opset_version=17, dynamo=False)
    except torch.onnx.errors.UnsupportedOperatorError:
        file = io.BytesIO()
        torch.onnx.export(module, plain, file, input_names=names, opset_version=20, dynamo=False)
    return onnx.load_from_string(file.getvalue())


def _relative(got: np.ndarray, want: np.ndarray) -> float:
    norm = float(np.linalg.norm(want.astype(np.float64)))
    if norm == 0:
        raise ValueError("autograd's gradient is zero")
    return float(np.linalg.norm(got.astype(np.float64) - want.astype(np.float64))) / norm


def _first_sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) < 160 else text[:157] + "..."


def table(results: list[Result]) -> str:
    """Lay the results out as a markdown table with the counts below."""
    lines = ["| network | family | float32 | float64 | seconds |", "|---|---|---|---|---|"]
    for r in sorted(results, key=lambda r: (not r.passed(), r.name)):
        cells = [f"{e:.1e}" if isinstance(e, float) else e.replace("|", "\\|") for e in r.errors.values()]
        lines.append(f"| {r.name} | {r.kind} | {cells[0]} | {cells[1]} | {r.seconds:.1f} |")
    both = [r for r in results if r.passed()]
    over = [f"{r.name} ({p})" for r in results for p, e in r.errors.items() if isinstance(e, float) and e >= BOUNDS[p]]
    lines += ["", f"{len(both)} of {len(results)} networks agree with autograd in float32 and in float64."]
    for precision, bound in BOUNDS.items():
        found = [r.errors[precision] for r in results if isinstance(r.errors[precision], float)]
        worst = max(found, default=0.0)
        lines.append(f"{precision}: {sum(e < bound for e in found)} below {bound:g}, the worst {worst:.1e}.")
    if over:
        lines.append(f"Over the bound: {', '.join(over)}.")
    return "\n".join(lines)


def main() -> int:
    """Examine the networks and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="*", help="a pattern of names, such as timm__*")
    parser.add_argument("--half", choices=("small", "full"), default="full", help="small: every third network")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    names = [n for n in zoo_torch.names() if fnmatch(n, arguments.only)][:: 3 if arguments.half == "small" else 1]
    results = []
    with multiprocessing.get_context("spawn").Pool(arguments.jobs, _one_thread, maxtasksperchild=20) as pool:
        for result in pool.imap_unordered(examine, names):
            results.append(result)
            print(f"{len(results)}/{len(names)} {results[-1].name} {results[-1].errors}", file=sys.stderr, flush=True)
    print(table(results))
    wrong = any(isinstance(e, float) and e >= BOUNDS[p] for r in results for p, e in r.errors.items())
    return int(wrong or sum(r.passed() for r in results) < min(ENOUGH, len(names)))


def _one_thread() -> None:
    torch.set_num_threads(1)


if __name__ == "__main__":
    sys.exit(main())
