"""Central differences of a deployed file in float64, the independent value that gradients are held to."""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rsp_onnx.testing.reference import runner

from .running import run

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
STEP = 1e-7  # a kink of a ReLU or a maximum seldom lies that near
MOST_ONE_BY_ONE, DIRECTIONS = 128, 24  # larger inputs are probed in so many random directions

Score = Callable[[Mapping[str, np.ndarray]], float]


def doubled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in float64: its weights, constants, casts, inputs and outputs."""
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    graph = wide.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == FLOAT:
            value.type.tensor_type.elem_type = DOUBLE
    for weight in graph.initializer:
        _widen(weight)
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.type == onnx.AttributeProto.TENSOR:
            _widen(attribute.t)
    for node in graph.node:
        for attribute in node.attribute if node.op_type == "Cast" else ():
            attribute.i = DOUBLE if attribute.i == FLOAT else attribute.i
    return wide


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def with_outputs(model: onnx.ModelProto, *names: str) -> onnx.ModelProto:
    """Return the model with more of its tensors (numbers) among its outputs."""
    more = onnx.ModelProto()
    more.CopyFrom(model)
    known = {v.name for v in model.graph.output}
    more.graph.output.extend(helper.make_tensor_value_info(n, FLOAT, None) for n in names if n not in known)
    return more


def fed_at(model: onnx.ModelProto, *names: str) -> onnx.ModelProto:
    """Return the model with tensors of it as inputs: what made them makes them no more."""
    cut = onnx.ModelProto()
    cut.CopyFrom(model)
    for node in cut.graph.node:
        for i, output in enumerate(node.output):
            if output in names:
                node.output[i] = f"{output}/unread"
    cut.graph.input.extend(helper.make_tensor_value_info(name, FLOAT, None) for name in names)
    return cut


class Deployed:
    """A deployed file as a function of its feeds in float64, with some tensors of it fed in their own right.

    Its score must be that of the file as it is in ONNX Runtime, to what float32 keeps.

    Parameters
    ----------
    score : callable
        From the results by name, of the model's outputs and the tensors ``reads``, to one number.
    cuts : sequence of str
        Tensors that become inputs; they start from what the deployed file makes of the feeds.
    """

    def __init__(
        self, model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], score: Score, reads=(), cuts=()
    ) -> None:
        self.score = score
        wide = {name: x.astype(np.float64) if x.dtype == np.float32 else x for name, x in feeds.items()}
        whole = runner(doubled(with_outputs(model, *reads, *cuts)))(wide)
        self.at = wide | {name: np.asarray(whole[name], np.float64) for name in cuts}
        self._run = runner(doubled(fed_at(with_outputs(model, *reads), *cuts)))
        np.testing.assert_allclose(self(), score(run(with_outputs(model, *reads), dict(feeds))), rtol=1e-4, atol=1e-6)

    def __call__(self, **changed: np.ndarray) -> float:
        """Return the score with some of the feeds changed."""
        return float(self.score(self._run({**self.at, **changed})))

    def slope(self, name: str, direction: np.ndarray) -> float:
        """Return the score's slope along a direction of one feed."""
        x = self.at[name]
        up, down = (self(**{name: x + sign * STEP * direction}) for sign in (1, -1))
        return (up - down) / (2 * STEP)

    def slopes(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return directions [D, *shape] and the slopes [D] along them: all entries, or random directions."""
        shape = self.at[name].shape
        if self.at[name].size <= MOST_ONE_BY_ONE:
            directions = np.eye(self.at[name].size).reshape(-1, *shape)
        else:
            directions = np.random.default_rng(0).choice((-1.0, 1.0), (DIRECTIONS, *shape))
        return directions, np.array([self.slope(name, v) for v in directions])

    def disagreement(self, name: str, gradient: np.ndarray) -> float:
        """Return ‖⟨g, v⟩ − slopes‖ / ‖slopes‖ for a gradient of one sample, over the directions v."""
        directions, slopes = self.slopes(name)
        got = (directions.reshape(len(slopes), -1) * gradient.reshape(-1).astype(np.float64)).sum(1)
        return float(np.linalg.norm(got - slopes) / np.linalg.norm(slopes))

    def of_rows(self, name: str) -> np.ndarray:
        """Return, per row of a cut tensor, its slope under scaling: Σ gradient · row over the last axis."""
        rows = self.at[name]
        found = np.zeros(rows.shape[:-1])
        for place in np.ndindex(*found.shape):
            direction = np.zeros_like(rows)
            direction[place] = rows[place]
            found[place] = self.slope(name, direction)
        return found
