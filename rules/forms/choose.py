"""Which form a layer takes: of those that apply, the one predicted to be fastest."""

from __future__ import annotations

import math
import pkgutil
from dataclasses import asdict, replace
from importlib import import_module

import onnx_ir as ir

from rsp_onnx.rulekit.context import Context
from rsp_onnx.rulekit.convolution import Convolution, Window, convolution
from rsp_onnx.rulekit.linear import dense

from .form import Cost, Form, Layer
from .rates import OPERATIONS_PER_MS, time_of
from .unfold import fold, unfold


def forms() -> tuple[Form, ...]:
    """Return every form that a module of this package holds, by name."""
    return _FOUND


def _find() -> tuple[Form, ...]:
    here = import_module(__package__)
    names = [found.name for found in pkgutil.iter_modules(here.__path__) if f".{found.name}" not in __name__]
    modules = [import_module(f"{__package__}.{name}") for name in names]
    found = {id(form): form for module in modules for form in vars(module).values() if isinstance(form, Form)}
    return tuple(sorted(found.values(), key=lambda form: form.name))


_FOUND = _find()


def propagate(ctx: Context, x: ir.Value, r: ir.Value, layer: Layer) -> ir.Value:
    """Return factor·(C_p − C_n) of a layer by its form, see ``Form.emit``."""
    picked = _picked(layer)
    if picked is layer:
        return _form(ctx, layer).emit(ctx, x, r, layer)
    c = layer.c
    seen = ctx.op.Reshape(unfold(ctx.op, x, c), [-1, c.channels, *c.window.out])
    return fold(ctx, _form(ctx, picked).emit(ctx, seen, r, picked), c.window, c.channels)


def _picked(layer: Layer) -> Layer:
    """Return the layer on the pixels that are read, where a kernel of one entry leaves some out."""
    w = layer.c.window
    if layer.rows or not w.pointwise or w.plain:
        return layer
    zeros, ones = (0,) * w.axes, (1,) * w.axes
    return replace(layer, c=replace(layer.c, window=Window(ones, ones, ones, zeros, zeros, w.out, w.out)))


def choose(ctx: Context, layer: Layer) -> str:
    """Return the name of the form a layer takes: the option's where that applies, else the fastest."""
    return _form(ctx, _picked(layer)).name


def costs(layer: Layer) -> dict[str, Cost]:
    """Return what every form that applies to a layer costs, by its name."""
    picked = _picked(layer)
    return {form.name: cost(form, picked) for form in forms() if form.applies(picked)}


def cost(form: Form, layer: Layer) -> Cost:
    """Return what a form of a layer costs."""
    operations, traffic, memory = form.count(layer)
    return Cost(form.name, operations, traffic, memory, time_of(rate_of(form, layer), operations, traffic))


def rate_of(form: Form, layer: Layer) -> str:
    """Return what the form is called in the table of rates: products of one channel each are slow, unless meant."""
    own = f"{form.name}, depthwise"
    return own if layer.depthwise and own in OPERATIONS_PER_MS else form.name


def _form(ctx: Context, layer: Layer) -> Form:
    possible = [form for form in forms() if form.applies(layer)]
    wanted = [form for form in possible if form.name == ctx.options.form]
    return wanted[0] if wanted else min(possible, key=lambda form: cost(form, layer).time)


def layer_of(ctx: Context, node: ir.Node) -> Layer:
    """Return what a form is chosen by, of a Conv node or a dense layer per position."""
    if node.op_type == "Conv":
        return layer_of_convolution(ctx, convolution(ctx, node))
    known = dense(ctx, node)
    assert known is not None
    source = node.inputs[known.slot]
    *places, features = ctx.sizes(source)
    count = math.prod(places) * ((ctx.dims(source)[0] or 1) if ctx.single else 1)
    return layer_of_rows(ctx, count, features, ctx.sizes(node.outputs[0])[-1])


def layer_of_convolution(ctx: Context, c: Convolution) -> Layer:
    """Return what a form is chosen by, of a convolution."""
    return Layer(c, ctx.alone, in_process=ctx.options.in_process)


def layer_of_rows(ctx: Context, places: int, features: int, outputs: int, group: int = 1) -> Layer:
    """Return what a form is chosen by, of rows [N, g, places, features] that share a weight per group."""
    one = (1,)
    window = Window(one, one, one, (0,), (0,), (places,), (places,))
    return Layer(Convolution(window, features * group, outputs * group, group), ctx.alone, rows=True)


def report(ctx: Context, node: ir.Node) -> dict[str, object]:
    """Return what ``inspect`` shows of a node's choice: form, operations, memory, predicted time, the alternatives."""
    layer = layer_of(ctx, node)
    table, chosen = costs(layer), choose(ctx, layer)
    return {**asdict(table[chosen]), "alternatives": [asdict(c) for name, c in table.items() if name != chosen]}
