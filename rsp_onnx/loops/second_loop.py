"""Writing the second loop: what its body carries, cuts and puts out, and the node itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rsp_onnx.graph.bodies import captured_by
from rsp_onnx.graph.emit import Emitter
from rsp_onnx.graph.nodes import remove_unread, subgraphs

from .course import Course, Sliced
from .tape import keep


class SecondLoop:
    """A loop against the course of a first one.

    Parameters
    ----------
    outer, op : Emitter
        Write in front of the loop, and into its body.
    node, course
        The first loop.
    model : onnx_ir.Model
        The body, with the nodes of the first loop's step in it.
    without_first : bool
        It ends behind the first step, which is then walked by itself.

    Attributes
    ----------
    steps : onnx_ir.Value, optional
        How many steps the first loop made, where there may be none.
    """

    def __init__(
        self, outer: Emitter, op: Emitter, node: ir.Node, course: Course, model: ir.Model, *, without_first: bool
    ) -> None:
        self.course = course
        self.steps: ir.Value | None = None
        self._without_first = without_first
        self._outer, self._op, self._node, self._model = outer, op, node, model
        self._begin: list[ir.Value] = []  # what is carried: its value in front of the loop, in a step, behind a step
        self._now: list[ir.Value] = []
        self._next: list[ir.Value] = []
        self._cut: list[tuple[ir.Value, ir.Value, Sliced]] = []  # a tensor, its slice, how it is cut
        self._rows: list[tuple[ir.Value, Sliced]] = []

    def carry(self, begin: ir.Value) -> ir.Value:
        """Carry a tensor from step to step; return it as a step finds it."""
        self._begin.append(begin)
        self._now.append(self._formal())
        return self._now[-1]

    def slice(self, tensor: ir.Value, how: Sliced) -> ir.Value:
        """Cut a tensor as the first loop put it together; return the slice of a step."""
        formal = self._formal()
        self._cut.append((tensor, formal, how))
        return formal

    def hand_on(self, index: int, value: ir.Value | None) -> None:
        """Say what the carried tensor of this number is behind a step; None for zeros."""
        assert index == len(self._next)
        self._next.append(self._op.Expand(0.0, self._op.Shape(self._now[index])) if value is None else value)

    def add_up(self, begin: ir.Value, part: ir.Value) -> None:
        """Add up what every step finds."""
        now = self.carry(begin)
        self.hand_on(len(self._now) - 1, self._op.Add(now, part))

    def put_out(self, row: ir.Value, how: Sliced) -> None:
        """Put the rows of all steps together as the first loop cut them."""
        self._rows.append((row, how))

    def write(self, formals: Sequence[ir.Value]) -> Sequence[ir.Value]:
        """Write the loop; return what is carried to its end, then what it put together.

        formals: the inputs of the first loop's body, as the second one's calls them.
        """
        body = self._model.graph
        body.outputs.clear()
        body.outputs.extend([*self._next, *(row for row, _ in self._rows)])
        remove_unread(self._model)
        self._read_again(formals)
        body.inputs.clear()
        self._lift()
        outputs = [self._op.Identity(v) for v in (*self._next, *(row for row, _ in self._rows))]
        for value in outputs:
            value.type = ir.TensorType(self._op.type)
        body.outputs.clear()
        body.outputs.extend(outputs)
        body.name = f"{self._node.op_type}_backward"
        results = self._as_loop(body) if self.course.counts else self._as_scan(body)
        self._take_constants(body)
        return results

    def _formal(self) -> ir.Value:
        return ir.Value(name=self._op.fresh("given"), type=ir.TensorType(self._op.type))

    def _read_again(self, formals: Sequence[ir.Value]) -> None:
        """Read what the first loop's step read: states and numbers of steps from its tape, slices as it cut them."""
        for part in self.course.scanned:
            source, formal = self._node.inputs[part.outside], formals[part.inside]
            if formal.uses() and source is not None:
                self._cut.append((source, formal, part))
        counted = self.course.own[:1]
        for place in (*counted, *(state.formal for state in self.course.states)):
            if formals[place].uses() or place in counted:
                tensor = keep(self._outer, self._node, self.course, place)
                self._cut.append((tensor, formals[place], Sliced(0, place)))
        for place in self.course.own[1:]:
            formals[place].replace_all_uses_with(self._outer.constant(np.array(True)))

    def _lift(self) -> None:
        """Move what is the same at every step in front of the loop."""
        body = self._op.graph
        changing = {*self._now, *(formal for _, formal, _ in self._cut)}
        for node in list(body):
            inner = (v for b in subgraphs(node) for v in captured_by(b))
            if any(v in changing for v in (*node.inputs, *inner)):
                changing.update(node.outputs)
            else:
                body.remove(node)
                self._outer.graph.append(node)

    def _take_constants(self, body: ir.Graph) -> None:
        for value in list(body.initializers.values()):
            del body.initializers[str(value.name)]
            self._outer.graph.register_initializer(value)

    def _as_scan(self, body: ir.Graph) -> Sequence[ir.Value]:
        body.inputs.extend([*self._now, *(formal for _, formal, _ in self._cut)])
        cuts, rows = [how for _, _, how in self._cut], [how for _, how in self._rows]
        return self._outer.emit_many(
            "Scan", *self._begin, *(self._rest(tensor, how) for tensor, _, how in self._cut),
            outputs=len(self._next) + len(rows), num_scan_inputs=len(cuts), body=body,
            scan_input_axes=[how.axis for how in cuts], scan_input_directions=[int(not how.turned) for how in cuts],
            scan_output_axes=[how.axis for how in rows] or None,
            scan_output_directions=[int(not how.turned) for how in rows] or None,
        )  # fmt: skip

    def _rest(self, tensor: ir.Value, how: Sliced) -> ir.Value:
        """Return a tensor without the slice of the first step, where that is walked by itself."""
        if not self._without_first:
            return tensor
        begin, end = (0, -1) if how.turned else (1, np.iinfo(np.int64).max)
        return self._outer.Slice(tensor, [begin], [int(end)], [how.axis])

    def _as_loop(self, body: ir.Graph) -> Sequence[ir.Value]:
        """Return a Loop, which other than a Scan may have no step at all; its tape tells how many."""
        outer, op = self._outer, self._op
        self.steps = steps = outer.Size(self._tape())
        count = outer.Sub(steps, np.array(1)) if self._without_first else steps  # below none it is none
        index = ir.Value(name=op.fresh("step"), type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))
        going = ir.Value(name=op.fresh("going"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(()))
        body.inputs.extend([index, going, *self._now])
        place = op.Sub(op.Sub(steps, np.array(1)), index)
        for tensor, formal, how in self._cut:
            formal.replace_all_uses_with(op.Gather(tensor, place, axis=how.axis))
        goes = op.Identity(going)
        goes.type = ir.TensorType(ir.DataType.BOOL)
        body.outputs.insert(0, goes)
        body.sort()
        return outer.emit_many("Loop", count, None, *self._begin, outputs=len(self._next), body=body)

    def _tape(self) -> ir.Value:
        """Return the numbers of the steps that the first loop made."""
        return next(tensor for tensor, _, how in self._cut if how.inside == self.course.own[0])
