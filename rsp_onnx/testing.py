"""The test kit for rules: an op's gradient or relevance as a small model, and what must hold of it.

Give any function here the smallest model with your op, as ONNX text or as a ModelProto, in float64::

    MODEL = '''
    <ir_version: 8, opset_import: ["" : 18]>
    agraph (double[N, 3, 8, 8] x) => (y) { y = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(x) }
    '''
    check_adjoint(MODEL)
    check_conservation(MODEL)
    check_batch(MODEL)

A failed check is an AssertionError that names the ops, their attributes and the relative error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from .canonize import canonize
from .compiler import Flow, Lookup, check_rules, walk
from .context import Context, Options
from .emit import Emitter
from .graph import Graph, op_name
from .model import load_model
from .numerics import add_all
from .registry import find_rule, find_vjp, stops
from .shapes import fix_shapes
from .testing_ops import KERNELS
from .views import Views

Array: TypeAlias = "NDArray[Any]"
Feeds: TypeAlias = "Mapping[str, NDArray[Any]]"
Source: TypeAlias = "str | onnx.ModelProto"
Runner: TypeAlias = "Callable[[Feeds], dict[str, NDArray[Any]]]"

STEP = 2.0**-10  # a power of two: x ± h loses no bits
_SMOOTH = 1e-4  # two difference quotients of a smooth f, at h and h/2, agree far better


@dataclass(frozen=True)
class _Op:
    """A model as the compiler sees it, with the tensors relevance leaves from and arrives at."""

    graph: Graph
    inputs: tuple[ir.Value, ...]
    outputs: tuple[ir.Value, ...]
    nodes: tuple[ir.Node, ...]

    def __str__(self) -> str:
        """Name the ops with their attributes."""
        texts = []
        for node in self.nodes:
            given = ", ".join(f"{n}={a.value}" for n, a in node.attributes.items() if isinstance(a, ir.Attr))
            texts.append(f"{op_name(node)}({given})")
        return " → ".join(texts)

    def cotangents(self) -> list[str]:
        """Return the names of the inputs that take what flows: ``g``, or one per output."""
        return ["g"] if len(self.outputs) == 1 else [f"g/{v.name}" for v in self.outputs]


def vjp_model(model: Source, input_names: Sequence[str] | None = None) -> onnx.ModelProto:
    """Compile the vector-Jacobian product of a model into a model.

    Parameters
    ----------
    model : str or onnx.ModelProto
        ONNX text or a model, usually of one op.
    input_names : sequence of str, optional
        Inputs to differentiate by; default: all of floating point.

    Returns
    -------
    onnx.ModelProto
        Inputs: the model's own and the cotangent ``g`` [K, *output shape] (``g/<output>`` where there are several).
        Outputs: ``gradient/<input>`` [K, *input shape]. In float64 if the model's first input is.

    Raises
    ------
    UnsupportedOp
        An op has no gradient.
    """
    return _compile(_read(model, input_names), find_vjp, "gradient", None)


def rule_model(
    model: Source, input_names: Sequence[str] | None = None, options: Options | None = None
) -> onnx.ModelProto:
    """Compile the RSP rules of a model into a model; as ``vjp_model``, with outputs ``relevance/<input>``.

    A Conv or a dense layer that reads a graph input is taken for the layer on the image, which has a rule of its own:
    put a Relu before it to get the rule of hidden layers.
    """
    return _compile(_read(model, input_names), find_rule, "relevance", options)


def runner(model: onnx.ModelProto) -> Runner:
    """Return a function that runs a model on feeds and returns its outputs by name.

    ONNX Runtime's CPU kernels where it has all of the model's ops for its dtype, else ``onnx.reference`` with this
    project's float64 kernels for Conv, ConvTranspose, AveragePool and LRN.
    """
    import onnxruntime as ort
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    names = [o.name for o in model.graph.output]
    settings = ort.SessionOptions()
    settings.log_severity_level, settings.intra_op_num_threads = 4, 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        run = ort.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"]).run
    except NoKernel:
        run = ReferenceEvaluator(model, new_ops=KERNELS).run
    return lambda feeds: dict(zip(names, run(names, dict(feeds)), strict=True))


def sample_inputs(
    model: Source, *, samples: int = 2, low: float = -2.0, high: float = 2.0, seed: int = 0,
    input_names: Sequence[str] | None = None,
) -> dict[str, Array]:  # fmt: skip
    """Return inputs that are all different, evenly spread in (low, high) and never 0: away from the usual kinks.

    Parameters
    ----------
    samples : int
        The batch size, where the model leaves it free.
    """
    op = _read(model, input_names)
    shapes = [tuple(samples if d is None else d for d in op.graph.dims(v)) for v in op.inputs]
    counts = [int(np.prod(shape)) for shape in shapes]
    places = np.random.default_rng(seed).permutation(sum(counts))
    values = np.split(low + (high - low) * (places + 0.8) / sum(counts), np.cumsum(counts)[:-1])
    return {
        str(v.name): part.reshape(shape).astype(v.dtype.numpy() if v.dtype else np.float64)
        for v, part, shape in zip(op.inputs, values, shapes, strict=True)
    }


def check_adjoint(
    model: Source, feeds: Feeds | None = None, *, input_names: Sequence[str] | None = None, seed: int = 0,
    tolerance: float = 1e-9, step: float = STEP,
) -> None:  # fmt: skip
    """Check a gradient rule: ⟨f′(x)v, s⟩ = ⟨v, f*(s)⟩ for random v and three random s.

    f′(x)v is (f(x+hv) − f(x−hv))/2h, refined once by Richardson. That is exact but for rounding, about 1e-13 relative, for
    linear, bilinear and piecewise linear ops; for smooth ones the error is O(h⁴), below 1e-10.

    Parameters
    ----------
    model : str or onnx.ModelProto
        In float64: in float32 the difference quotient has three digits.
    feeds : mapping, optional
        The point x; default: ``sample_inputs``. It must be no kink of f (0 of a ReLU, a tie of a MaxPool).
    tolerance : float
        Of the difference, relative to ‖f′(x)v‖·‖s‖.

    Raises
    ------
    AssertionError
        The gradient is wrong, or f has a kink at x.
    """
    op = _read(model, input_names)
    x = dict(feeds or sample_inputs(model, seed=seed, input_names=input_names))
    rng = np.random.default_rng(seed + 1)
    v = {str(t.name): rng.uniform(-1, 1, x[str(t.name)].shape) for t in op.inputs}
    along = _derivative(op, x, v, step)
    s = [rng.uniform(-1, 1, (3, *a.shape)) for a in along]
    back = runner(vjp_model(model, input_names))({**x, **dict(zip(op.cotangents(), s, strict=True))})
    left = sum(np.sum(a * b, axis=tuple(range(1, b.ndim))) for a, b in zip(along, s, strict=True))
    right = sum(np.sum(v[n] * back[f"gradient/{n}"], axis=tuple(range(1, v[n].ndim + 1))) for n in v)
    scale = np.sqrt(sum(np.sum(a**2) for a in along) * sum(np.sum(b**2) for b in s) / 3)
    _require(op, "⟨f′(x)v, s⟩ ≠ ⟨v, f*(s)⟩", left, right, scale, tolerance)


def check_conservation(
    model: Source, feeds: Feeds | None = None, *, input_names: Sequence[str] | None = None, seed: int = 0,
    tolerance: float = 1e-9, options: Options | None = None,
) -> None:  # fmt: skip
    """Check that an RSP rule keeps the sum of relevance of every target and sample.

    Parameters
    ----------
    feeds : mapping, optional
        The input; default: positive values, so that no Z vanishes.
    tolerance : float
        Of the difference, relative to the sum.

    Raises
    ------
    AssertionError
        Relevance is lost or made, or is NaN or infinite.
    """
    op = _read(model, input_names)
    x = dict(feeds or sample_inputs(model, low=0.5, high=2.5, seed=seed, input_names=input_names))
    r = _relevance(op, x, seed)
    back = runner(rule_model(model, input_names, options))({**x, **r})
    arrived, left = _totals(list(back.values())), _totals(list(r.values()))
    if arrived.shape != left.shape:  # an input without the batch axis: compare the totals of each target
        arrived, left = arrived.reshape(len(left), -1).sum(1), left.reshape(len(left), -1).sum(1)
    _require(op, "Σ relevance of the inputs ≠ Σ relevance of the outputs", arrived, left, np.abs(left).max(), tolerance)


def check_batch(
    model: Source, feeds: Feeds | None = None, *, input_names: Sequence[str] | None = None, seed: int = 0,
    tolerance: float = 1e-12, options: Options | None = None,
) -> None:  # fmt: skip
    """Check that samples and targets do not mix: three of each at once give what each gives alone.

    Gradient and relevance are checked, whichever the ops have.

    Raises
    ------
    AssertionError
        A sample's or target's result depends on the others.
    """
    op = _read(model, input_names)
    x = dict(feeds or sample_inputs(model, samples=3, seed=seed, input_names=input_names))
    r = _relevance(op, x, seed)
    for lookup, word in ((find_vjp, "gradient"), (find_rule, "relevance")):
        if any(lookup(node) is None for node in op.nodes):
            continue
        run = runner(_compile(_read(model, input_names), lookup, word, options))
        whole = run({**x, **r})
        for k in range(3):
            alone = run({**x, **{n: a[k : k + 1] for n, a in r.items()}})
            _compare(op, f"the {word} of target {k}", {n: a[k : k + 1] for n, a in whole.items()}, alone, tolerance)
            alone = run({n: a[k : k + 1] for n, a in x.items()} | {n: a[:, k : k + 1] for n, a in r.items()})
            _compare(op, f"the {word} of sample {k}", {n: a[:, k : k + 1] for n, a in whole.items()}, alone, tolerance)


def _read(model: Source, input_names: Sequence[str] | None) -> _Op:
    proto = onnx.parser.parse_model(model) if isinstance(model, str) else model
    work = canonize(load_model(proto))
    fix_shapes(work)
    floats = [str(v.name) for v in work.graph.inputs if v.dtype is not None and v.dtype.is_floating_point()]
    graph = Graph(work, floats if input_names is None else input_names, stops)
    outputs = tuple(v for v in work.graph.outputs if graph.active(v))
    nodes = tuple(n for n in graph.nodes if n in graph.dag)
    return _Op(graph, tuple(graph.inputs), outputs, nodes)


def _compile(op: _Op, lookup: Lookup, word: str, options: Options | None) -> onnx.ModelProto:
    """Emit the walk from the outputs to the inputs and make its results the model's outputs."""
    check_rules([(word, op.nodes, lookup)])
    graph, target = op.graph, op.graph.model.graph
    kind = ir.DataType.DOUBLE if op.inputs[0].dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    start = {}
    for value, name in zip(op.outputs, op.cotangents(), strict=True):
        shape = ir.Shape(["K", *(value.shape or ())])
        start[value] = ir.Value(name=name, shape=shape, type=ir.TensorType(kind))
        target.inputs.append(start[value])
    emitter = Emitter(target, np.dtype(kind.numpy()))
    front = emitter.Shape(next(iter(start.values())), start=0, end=1)
    ctx = Context(emitter, graph, Views(emitter, graph), front, options or Options())
    flow = walk(ctx, start, op.nodes, lookup)
    target.outputs.clear()
    for value in op.inputs:
        result = emitter.emit("Identity", _arrived(ctx, flow, value), name=f"{word}/{value.name}")
        result.dtype = kind
        target.outputs.append(result)
    return ir.to_proto(graph.model)


def _arrived(ctx: Context, flow: Flow, value: ir.Value) -> ir.Value:
    """Return what arrived at an input, zeros where nothing did."""
    if value in flow.at:
        return add_all(ctx.op, [flow.at[value]])
    return ctx.op.Expand(0.0, ctx.op.Concat(ctx.front, ctx.op.Shape(value), axis=0))


def _derivative(op: _Op, x: Feeds, v: Feeds, step: float) -> list[Array]:
    run = runner(ir.to_proto(op.graph.model))

    def quotient(h: float) -> list[Array]:
        ends = [run({**x, **{n: (x[n] + sign * h * v[n]).astype(x[n].dtype) for n in v}}) for sign in (1, -1)]
        return [(ends[0][str(o.name)] - ends[1][str(o.name)]) / (2 * h) for o in op.outputs]

    coarse, fine = quotient(step), quotient(step / 2)
    for a, b in zip(coarse, fine, strict=True):
        _require(op, "no derivative: a kink is near x, give other feeds", a, b, np.linalg.norm(b), _SMOOTH)
    return [(4 * b - a) / 3 for a, b in zip(coarse, fine, strict=True)]


def _relevance(op: _Op, x: Feeds, seed: int) -> dict[str, Array]:
    """Return positive relevance of three targets for every output."""
    rng = np.random.default_rng(seed + 2)
    results = runner(ir.to_proto(op.graph.model))(x)
    sizes = [results[str(v.name)].shape for v in op.outputs]
    kind = next(iter(x.values())).dtype
    return {n: rng.uniform(0.5, 1.5, (3, *size)).astype(kind) for n, size in zip(op.cotangents(), sizes, strict=True)}


def _totals(parts: Sequence[Array]) -> Array:
    sums = [p.astype(np.float64).sum(axis=tuple(range(2, p.ndim))) for p in parts]
    if len({s.shape for s in sums}) > 1:
        sums = [s.reshape(len(s), -1).sum(1) for s in sums]
    return np.sum(sums, axis=0)


def _compare(op: _Op, what: str, got: Feeds, want: Feeds, tolerance: float) -> None:
    for name, a in want.items():
        _require(op, f"{what} at {name} depends on the others", got[name], a, np.abs(a).max(initial=0), tolerance)


def _require(op: _Op, what: str, a: Array, b: Array, scale: float, tolerance: float) -> None:
    """Raise where a and b differ by more than tolerance · scale, or one is not finite."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape, f"{op}: {what}: shapes {a.shape} and {b.shape}"
    error = float(np.abs(a - b).max(initial=0)) / max(float(scale), np.finfo(np.float64).tiny)
    assert error <= tolerance, f"{op}: {what}: relative error {error:.3g} above {tolerance:.3g}"
