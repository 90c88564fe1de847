"""Two exact forms of RSP's conv rule (rsp.md §6) and the cost function that chooses between them.

Both compute C_p − C_n of RSP §3 at once: the signs are stacked as rows, R₂ = [R⁺; −R⁻] in size, and kept in S.
Shapes: x [N, C, *size]; rows [K, N, g, 2·O/g, P] for P output positions, g groups, kernel volume k.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import onnx_ir as ir

from rsp_onnx.graph.emit import Emitter
from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.linear import Convolution, Window, convolution, crop, dense
from rsp_onnx.rulekit.numerics import add_all, cut, pad, safe_divide, stack_signs, swap

_MARGIN = 3.0  # measured: gram wins well below a third of break-even, above it memory traffic decides


@dataclass(frozen=True)
class Cost:
    """What one form costs for one sample and one target: multiply-adds × 2, and bytes of float32 it holds."""

    form: str
    operations: int
    memory: int


def costs(filters: int, channels: int, volume: int, group: int, positions: int, sources: int) -> dict[str, Cost]:
    """Return the cost of each form.

    Parameters
    ----------
    filters, channels : int
        Output channels O and input channels C, over all groups.
    volume : int
        Kernel entries k.
    positions, sources : int
        Output positions P and input positions (the gram's side before the box sum).
    """
    depth = channels * volume
    rows = 4 * 6 * filters * positions
    unfold = Cost("unfold", 6 * positions * depth // group * filters, 4 * 2 * depth * positions + rows)
    square = 4 * 3 * group * max(positions, sources) ** 2
    gram = Cost("gram", positions**2 * (2 * channels + 4 * filters), square + rows)
    return {"unfold": unfold, "gram": gram}


def choose(ctx: Context, node: ir.Node) -> str:
    """Return the form for a node: the option's if one was asked for, else the cheaper one."""
    table = node_costs(ctx, node)
    wanted = ctx.options.form
    if wanted in table:
        return wanted
    if "gram" in table and table["gram"].operations * _MARGIN < table["unfold"].operations:
        return "gram"
    return "unfold"


def node_costs(ctx: Context, node: ir.Node) -> dict[str, Cost]:
    """Return the cost of every form that is possible for a Conv or per-position dense node."""
    if node.op_type == "Conv":
        c = convolution(ctx, node)
        w = c.window
        table = costs(c.filters, c.channels, math.prod(w.kernel), c.group, math.prod(w.out), math.prod(w.size))
        if any(s != 1 for s in w.strides):
            del table["gram"]
        return table
    layer = dense(ctx, node)
    assert layer is not None
    *places, features = ctx.sizes(node.inputs[layer.slot])
    outputs = ctx.sizes(node.outputs[0])[-1]
    count = math.prod(places) * ((ctx.dims(node.inputs[layer.slot])[0] or 1) if ctx.single else 1)
    return costs(outputs, features, 1, 1, count, count)


def report(ctx: Context, node: ir.Node) -> dict[str, object]:
    """Return what ``inspect`` shows of a node's choice: form, operations, memory, and the alternatives."""
    table = node_costs(ctx, node)
    chosen = table[choose(ctx, node)]
    return {**asdict(chosen), "alternatives": [asdict(c) for c in table.values() if c is not chosen]}


def propagate_conv(ctx: Context, x: ir.Value, r: ir.Value, c: Convolution, form: str) -> ir.Value:
    """Return C_p − C_n, [K, N, C, *size], of a convolution that reads x ≥ 0."""
    rows = ctx.part(r, c.group, c.filters // c.group, math.prod(c.window.out))
    if form == "gram":
        return _gram(ctx, x, rows, c)
    return _unfold(ctx, x, rows, c)


def propagate_rows(op: Emitter, x: ir.Value, r: ir.Value, form: str) -> ir.Value:
    """Return C_p − C_n of a dense layer per position: x [N, 1, P, F], r [K, N, 1, P, O] → [K, N, 1, P, F]."""
    sizes, signed = stack_signs(op, r, 4)
    if form == "gram":
        between = op.MatMul(x, swap(op, x, 4))
        s = safe_divide(op, signed, op.MatMul(between, sizes), nonnegative=True)
        back = op.MatMul(op.MatMul(s, swap(op, sizes, 5)), x)
    else:
        g = op.MatMul(swap(op, sizes, 5), x)
        s = safe_divide(op, signed, op.MatMul(x, swap(op, g, 5)), nonnegative=True)
        back = op.MatMul(s, g)
    return op.Mul(back, x)


def _unfold(ctx: Context, x: ir.Value, rows: ir.Value, c: Convolution) -> ir.Value:
    """G = R₂Xᵀ, Z = GX, C = x ⊙ fold(GᵀS) with X the unfolded receptive fields [N, g, C/g·k, P]."""
    op, w = ctx.op, c.window
    fields = unfold(op, x, c)
    sizes, signed = stack_signs(op, rows, 3)
    g = op.MatMul(sizes, swap(op, fields, 4))
    s = safe_divide(op, signed, op.MatMul(g, fields), nonnegative=True)
    back = op.MatMul(swap(op, g, 5), s)
    return op.Mul(fold(ctx, back, w, c.channels), x)


def _gram(ctx: Context, x: ir.Value, rows: ir.Value, c: Convolution) -> ir.Value:
    """Γ = box(xᵀx), Z = R₂Γ, C = x ⊙ (x·boxᵀ(R₂ᵀS)); stride 1. Γ does not depend on R: all targets share it."""
    op, w = ctx.op, c.window
    pixels = op.Reshape(x, [-1, c.group, c.channels // c.group, math.prod(w.size)])
    products = op.MatMul(swap(op, pixels, 4), pixels)
    box = _box(op, products, c) if not w.plain else products
    sizes, signed = stack_signs(op, rows, 3)
    s = safe_divide(op, signed, op.MatMul(sizes, box), nonnegative=True)
    between = op.MatMul(swap(op, sizes, 5), s)
    mixed = _spread_box(ctx, between, c) if not w.plain else between
    back = op.Mul(op.MatMul(pixels, mixed), pixels)
    return ctx.part(back, c.channels, *w.size)


def unfold(op: Emitter, x: ir.Value, c: Convolution) -> ir.Value:
    """Gather the receptive fields by shifted Slices, one axis after the other: [N, C, *size] → [N, g, C/g·k, P]."""
    w = c.window
    x = pad(op, x, [0, 0, *w.before], [0, 0, *[max(a, 0) for a in w.after]])
    for i in reversed(range(w.axes)):
        axis = 2 + i + (w.axes - 1 - i if not w.pointwise else 0)  # kernel axes gathered so far stand before
        taken = [cut(op, x, axis, k * w.dilations[i], w.out[i], w.strides[i]) for k in range(w.kernel[i])]
        if not w.pointwise:
            x = op.Concat(*(op.Unsqueeze(t, [2]) for t in taken), axis=2)
        elif w.strides[i] > 1 or w.before[i] or w.after[i]:
            x = taken[0]
    return op.Reshape(x, [-1, c.group, c.channels // c.group * math.prod(w.kernel), math.prod(w.out)])


def fold(ctx: Context, v: ir.Value, w: Window, channels: int) -> ir.Value:
    """Adjoint of ``unfold``: [K, N, g, C/g·k, P] → [K, N, C, *size], each entry added where it was taken from."""
    v = ctx.part(v, channels, *w.kernel, *w.out)
    if w.plain:
        return ctx.part(v, channels, *w.size)
    covered: list[int] = []
    for i in range(w.axes):
        length = max(w.span[i], w.before[i] + w.size[i])
        v, length = _fold_axis(ctx, v, w, channels, i, covered, length)
        covered.append(length)
    v = ctx.part(v, channels, *covered)
    for i in range(w.axes):
        if w.before[i] or covered[i] != w.size[i]:
            v = cut(ctx.op, v, 3 + i, w.before[i], w.size[i])
    return v


def _fold_axis(
    ctx: Context, v: ir.Value, w: Window, channels: int, i: int, covered: list[int], length: int
) -> tuple[ir.Value, int]:
    """Fold kernel axis i into its spatial axis; v is [K, N, C, 1.., k_i.., k_n, *covered, o_i.., o_n]."""
    op, n = ctx.op, w.axes
    kernel, stride, dilation, out = w.kernel[i], w.strides[i], w.dilations[i], w.out[i]
    parts = op.emit_many("Split", v, outputs=kernel, axis=3 + i, num_outputs=kernel) if kernel > 1 else [v]
    rank, axis = 3 + 2 * n, 3 + n + i
    rows = -(-length // stride)
    phases = []
    for phase in range(stride):
        terms = []
        for k, part in enumerate(parts):
            if (k * dilation) % stride == phase:
                shift = k * dilation // stride
                behind = rows - shift - out
                terms.append(pad(op, part, _only(rank, axis, shift), _only(rank, axis, behind)))
        if not terms:
            terms = [op.Mul(pad(op, parts[0], [0] * rank, _only(rank, axis, rows - out)), 0.0)]
        phases.append(add_all(op, terms))
    if stride == 1:
        return phases[0], length
    woven = op.Concat(*(op.Unsqueeze(p, [axis + 1]) for p in phases), axis=axis + 1)
    shape = [1] * (i + 1) + [*w.kernel[i + 1 :], *covered, rows * stride, *w.out[i + 1 :]]
    return ctx.part(woven, channels, *shape), rows * stride


def _only(rank: int, axis: int, size: int) -> list[int]:
    return [size if a == axis else 0 for a in range(rank)]


def _box(op: Emitter, products: ir.Value, c: Convolution) -> ir.Value:
    """Γ[p, q] = Σ_shifts g[p + shift, q + shift] over the kernel: [N, g, |size|, |size|] → [N, g, P, P]."""
    w, n = c.window, c.window.axes
    both = op.Reshape(products, [-1, c.group, *w.size, *w.size])
    after = [max(a, 0) for a in w.after]
    both = pad(op, both, [0, 0, *w.before, *w.before], [0, 0, *after, *after])
    for i in range(n):
        starts = [k * w.dilations[i] for k in range(w.kernel[i])]
        both = add_all(op, [_cut_both(op, both, 2 + i, 2 + n + i, s, w.out[i]) for s in starts])
    side = math.prod(w.out)
    return op.Reshape(both, [-1, c.group, side, side])


def _cut_both(op: Emitter, v: ir.Value, first: int, second: int, start: int, size: int) -> ir.Value:
    return op.Slice(v, [start, start], [start + size, start + size], [first, second])


def _spread_box(ctx: Context, between: ir.Value, c: Convolution) -> ir.Value:
    """Adjoint of ``_box``: [K, N, g, P, P] → [K, N, g, |size|, |size|]."""
    op, w, n = ctx.op, c.window, c.window.axes
    v = ctx.part(between, c.group, *w.out, *w.out)
    rank = 3 + 2 * n
    for i in range(n):
        terms = []
        for k in range(w.kernel[i]):
            shift, behind = k * w.dilations[i], w.span[i] - k * w.dilations[i] - w.out[i]
            axes = (3 + i, 3 + n + i)
            before = [shift if a in axes else 0 for a in range(rank)]
            after = [behind if a in axes else 0 for a in range(rank)]
            terms.append(pad(op, v, before, after))
        v = add_all(op, terms)
    v = crop(op, v, w, first_axis=3, copies=2)
    side = math.prod(w.size)
    return ctx.part(v, c.group, side, side)
